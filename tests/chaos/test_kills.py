"""Three SIGKILLs at random moments: nothing lost, nothing twice, the rows of an undisturbed run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = ["--kills", "3", "--images", "24"]


@pytest.mark.timeout(600)  # a busy machine starts Ray's processes slowly
def test_killed_at_random_and_finished() -> None:
    command = [sys.executable, Path(__file__).with_name("kills.py"), *KILLS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    storm = json.loads(done.stdout)
    assert storm["kills"] == {"worker": 1, "node": 1, "driver": 1}
    assert storm["faults"] == []
