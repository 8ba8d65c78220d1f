"""What a labeler logs, in a worker of Ray, is on the command's stderr; the user chooses how much of it."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import stand_in_run
from stand_in_generator import photo

from pipeline.output.commands.gc import collect
from pipeline.output.commands.validate import validate
from pipeline.output.dataset import Dataset


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
    the_output_keeps_the_log(tmp_path / "out")


def the_output_keeps_the_log(output: Path) -> None:
    """A line for each image that was warned of; no command takes the file for a leftover."""
    kept = (output / "_runs" / "r00001.log.jsonl").read_text().splitlines()
    warned = [line for line in map(json.loads, kept) if line["message"] == "a labeler warns"]
    ids = {row["uri"]: row["image_id"] for row in Dataset.at(str(output)).table().to_pylist()}
    del ids[f"file://{output.parent}/in/0.png"]
    assert {line["uri"]: line["image_id"] for line in warned} == ids
    assert {(line["level"], line["run"], line["node"]) for line in warned} == {
        ("warning", "r00001", socket.gethostname())
    }
    assert all(line["worker"] not in (None, os.getpid()) for line in warned)
    assert validate(str(output)).problems == []
    assert collect(str(output)).files == 0
