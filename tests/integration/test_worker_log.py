"""What a labeler logs, in a worker of Ray, is on the command's stderr; the user chooses how much of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import stand_in_run
from stand_in_generator import photo


def test_the_log_of_workers_reaches_the_user(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(3):
        (tmp_path / "in" / f"{number}.png").write_bytes(photo(number, poison="warn" if number else None))
    done = subprocess.run(
        [sys.executable, stand_in_run.__file__, tmp_path / "in", tmp_path / "out", "0"],
        env={**os.environ, "RUN_OPTIONS": json.dumps({"workers": 1, "log-level": "info"})},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert (done.returncode, json.loads(done.stdout)["labelled"]) == (0, 3), done.stderr
    lines = done.stderr.splitlines()
    assert {line for line in lines if line.startswith("sam-label: ")} == {
        "sam-label: warning: a labeler warns",
        "sam-label: info: a labeler has loaded",
    }
    assert lines.count("sam-label: warning: a labeler warns") == 1, "the same text once"
    assert any("3 of 3 images" in line for line in lines)
