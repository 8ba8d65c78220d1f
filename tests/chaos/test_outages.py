"""What a run stands on is lost, then mended: the run ends in one sentence, and the same command finishes.

A store that is killed and a cluster that loses its head belong to `make chaos` alone: until a run gives them
up takes most of a minute.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

OUTAGES = Path(__file__).with_name("outages.py")
MOUNT = ["unshare", "--mount", "--map-root-user", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]


@pytest.mark.parametrize("outage", ["disk", "hang"])
def test_what_was_committed_stays_and_the_rest_is_done_later(outage: str) -> None:
    if outage == "disk" and subprocess.run(MOUNT, capture_output=True, check=False).returncode:
        pytest.skip("this kernel lets no ordinary process mount a small disk to fill")
    command = [sys.executable, OUTAGES, "--only", outage]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["faults"] == []
