"""A node is killed at work: nothing lost, nothing twice, the rows of an undisturbed run.

`make chaos` kills 200 times. Here a killed driver is in test_two_runs.py, and a labeler that dies in
integration/test_run_local.py.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = ["--kills", "1", "--only", "node", "--images", "24"]


@pytest.mark.timeout(600)  # a busy machine starts Ray's processes slowly
def test_a_killed_node_costs_nothing_but_time() -> None:
    command = [sys.executable, Path(__file__).with_name("kills.py"), *KILLS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    storm = json.loads(done.stdout)
    assert storm["kills"] == {"worker": 0, "node": 1, "driver": 0}
    assert storm["faults"] == []
