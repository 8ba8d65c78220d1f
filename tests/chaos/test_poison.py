"""Images that kill their decoders or labelers, side by side, in a run of a few; in full: poison.py."""

import json
import subprocess
import sys
from pathlib import Path


def test_each_poison_is_a_failed_row_and_its_neighbours_are_labelled() -> None:
    command = [sys.executable, Path(__file__).with_name("poison.py"), "--images", "12", "--every", "6"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["poisons"], found["faults"], found["most_attempts"]) == (4, [], 3)
