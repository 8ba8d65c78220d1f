"""A run on unequal nodes: one joins, one is killed, one starts no labeler; nothing is lost.

With fake GPUs and a token. The same among processes of `ray start` belongs to `make chaos`.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(900)  # a busy machine starts Ray's processes slowly
def test_labelers_follow_their_nodes() -> None:
    command = [sys.executable, Path(__file__).with_name("nodes.py"), "--only", "changes", "--images", "300"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["faults"] == []
