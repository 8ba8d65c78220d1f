"""A run that is ended from outside, in a process of its own, and finished by the next one.

What labelers log, in workers of Ray, is on the command's stderr and in the output; the user chooses how much.
A run that is killed is in chaos/test_kills.py.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from stand_in_generator import photo

from pipeline.cluster.supervise import INTERRUPTED
from pipeline.output.commands.gc import collect
from pipeline.output.commands.validate import validate
from pipeline.output.dataset import Dataset

STAND_IN_RUN = Path(__file__).parents[1] / "stand_in" / "stand_in_run.py"
IMAGES = 60
WARNING = "sam-label: warning: a labeler warns"
PATIENCE_S = 90


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(IMAGES):
        path = folder / f"{number:02d}.png"
        path.write_bytes(photo(number, poison="warn" if is_warned_of(path.as_uri()) else None))
    return folder


def started(photos: Path, output: Path, delay_s: float, **run_options: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, STAND_IN_RUN, photos, output, str(delay_s), output.with_name("log")],
        env={**os.environ, "RUN_OPTIONS": json.dumps(run_options)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_commits(output: Path, process: "subprocess.Popen[str]", count: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while len(list(output.glob("_commits/*.json"))) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_run_that_is_interrupted_is_finished_by_the_next(photos: Path, tmp_path: Path) -> None:
    output, log = tmp_path / "out", tmp_path / "log"

    process = started(photos, output, 0.2, workers=1)
    wait_for_commits(output, process, 1)
    os.killpg(process.pid, signal.SIGINT)  # the whole group, as a terminal's Ctrl-C does
    summary = summary_of_an_interrupted(process)
    begun = len(log.read_text().split())
    done = {row["uri"] for row in Dataset.at(str(output)).table().to_pylist()}
    assert len(done) == begun < IMAGES, "what was begun was finished and committed, once"
    assert (summary["labelled"], summary["failed"], summary["total"]) == (begun, 0, IMAGES)

    process = started(photos, output, 0, workers=1, **{"log-level": "info"})
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, stderr
    validity = validate(str(output))
    assert (validity.problems, validity.labelled) == ([], IMAGES)
    assert len(log.read_text().split()) == IMAGES, "nothing is done again"
    the_log_of_workers_reached_the_user(stderr, IMAGES - begun)
    the_output_keeps_the_log(output, done)


def summary_of_an_interrupted(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """What the process printed, which has to be all that it did, and a sentence."""
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 130, stderr
    *others, last_line = stderr.splitlines()
    assert all(re.match(r"\d+ of \d+ images, 0 failed", line) for line in others if line != WARNING)
    assert last_line == f"sam-label: {INTERRUPTED}"
    summary: dict[str, Any] = json.loads(stdout)
    return summary


def the_log_of_workers_reached_the_user(stderr: str, images: int) -> None:
    lines = stderr.splitlines()
    assert {line for line in lines if line.startswith("sam-label: ")} == {
        WARNING,
        "sam-label: info: a labeler has loaded",
    }
    assert lines.count(WARNING) == 1, "the same text once"
    assert any(f"{images} of {images} images" in line for line in lines)


def the_output_keeps_the_log(output: Path, done_before: set[str]) -> None:
    """A line for each image that was warned of; no command takes the file for a leftover."""
    kept = (output / "_runs" / "r00002.log.jsonl").read_text().splitlines()
    warned = [line for line in map(json.loads, kept) if line["message"] == "a labeler warns"]
    ids = {row["uri"]: row["image_id"] for row in Dataset.at(str(output)).table().to_pylist()}
    expected = {uri: ids[uri] for uri in ids.keys() - done_before if is_warned_of(uri)}
    assert {line["uri"]: line["image_id"] for line in warned} == expected
    assert 0 < len(expected) < len(ids) - len(done_before)
    assert {(line["level"], line["run"], line["node"]) for line in warned} == {
        ("warning", "r00002", socket.gethostname())
    }
    assert all(line["worker"] not in (None, os.getpid()) for line in warned)
    assert collect(str(output)).files == 0


def is_warned_of(uri: str) -> bool:
    """Whether the labeler warns of the image: of every second one."""
    return int(Path(uri).stem) % 2 == 0
