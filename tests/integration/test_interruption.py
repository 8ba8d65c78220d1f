"""Runs that are ended from outside, in processes of their own, and finished by the next one.

A run that is killed is in chaos/test_kills.py.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from stand_in_generator import photo

from pipeline.cluster.supervise import INTERRUPTED
from pipeline.output.commands.validate import validate
from pipeline.output.dataset import Dataset

STAND_IN_RUN = Path(__file__).parents[1] / "stand_in" / "stand_in_run.py"
IMAGES = 80
PATIENCE_S = 90


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(IMAGES):
        (folder / f"{number:02d}.png").write_bytes(photo(number))
    return folder


def started(photos: Path, output: Path, delay_s: float) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, STAND_IN_RUN, photos, output, str(delay_s), output.with_name("log")],
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


def test_a_run_that_is_interrupted_twice_is_finished_by_the_third(photos: Path, tmp_path: Path) -> None:
    output, log = tmp_path / "out", tmp_path / "log"

    process = started(photos, output, 0.2)
    wait_for_commits(output, process, 1)
    os.killpg(process.pid, signal.SIGINT)  # the whole group, as a terminal's Ctrl-C does
    summary = summary_of_an_interrupted(process)
    begun = len(log.read_text().split())
    assert Dataset.at(str(output)).rows == begun < IMAGES, "what was begun was finished and committed, once"
    assert (summary["labelled"], summary["failed"], summary["total"]) == (begun, 0, IMAGES)

    process = started(photos, output, 0.2)
    wait_for_commits(output, process, 4)
    process.terminate()  # as a scheduler does, to the command alone
    summary = summary_of_an_interrupted(process)
    both = len(log.read_text().split())
    assert begun < Dataset.at(str(output)).rows == both < IMAGES
    assert (summary["labelled"], summary["failed"]) == (both - begun, 0)

    process = started(photos, output, 0)
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, stderr
    validity = validate(str(output))
    assert (validity.problems, validity.labelled) == ([], IMAGES)
    assert len(log.read_text().split()) == IMAGES, "nothing is done again"


def summary_of_an_interrupted(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """What the process printed, which has to be all that it did, and a sentence."""
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 130, stderr
    *progress, last_line = stderr.splitlines()
    assert all(re.match(r"\d+ of \d+ images, 0 failed", line) for line in progress)
    assert last_line == f"sam-label: {INTERRUPTED}"
    summary: dict[str, Any] = json.loads(stdout)
    return summary
