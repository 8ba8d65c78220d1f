"""Twenty SIGKILLs at random moments: nothing lost, nothing twice, the rows those of an undisturbed run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(600)
def test_killed_at_random_and_finished(tmp_path: Path) -> None:
    command = [sys.executable, Path(__file__).with_name("kills.py"), "20", "300", tmp_path / "k"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert sum(figures["kills"].values()) == 20
    assert (figures["lost"], figures["twice"], figures["problems"]) == (0, 0, [])
    assert figures["same_rows"], "not what an undisturbed run writes"
