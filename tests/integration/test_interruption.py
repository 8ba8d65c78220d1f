"""A run that a signal ends, in a separate process: it finishes the images in progress, and begins no others.

chaos/test_kills.py tests a run that is killed; test_run_local.py tests one that is interrupted at a long
image, and one that continues with the images left.
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
from processes import descendants, kill, title
from stand_in_generator import photo

from pipeline.cluster.supervise import INTERRUPTED
from pipeline.config import RunConfig
from pipeline.output.commands.validate import validate
from pipeline.output.dataset import Dataset
from pipeline.plan import plan

STAND_IN_RUN = Path(__file__).parents[1] / "stand_in" / "stand_in_run.py"
IMAGES = 60
PATIENCE_S = 90


def wait_for_commits(output: Path, process: "subprocess.Popen[str]", count: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while len(list(output.glob("_commits/*.json"))) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def heed_hangups() -> None:
    """For the process to be started; the tests themselves may run under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def begun(folder: Path) -> "subprocess.Popen[str]":
    """A run from `in` to `out` that has committed something."""
    (folder / "in").mkdir()
    for number in range(IMAGES):
        (folder / "in" / f"{number:02d}.png").write_bytes(photo(number))
    process = subprocess.Popen(
        [sys.executable, STAND_IN_RUN, folder / "in", folder / "out", "0.2", folder / "log"],
        env={**os.environ, "RUN_OPTIONS": json.dumps({"workers": 1})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_hangups,
    )
    wait_for_commits(folder / "out", process, 1)
    return process


def test_a_local_ray_that_loses_its_raylet_ends_the_run_with_a_sentence(tmp_path: Path) -> None:
    process = begun(tmp_path)
    assert kill([pid for pid in descendants([process.pid]) if "raylet/raylet " in title(pid)]) == 1
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert stderr.splitlines()[-1].startswith(
        "sam-label: Ray was lost: its process raylet on this machine has"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
def test_a_run_that_is_interrupted_leaves_the_rest_for_the_next(tmp_path: Path, number: int) -> None:
    photos, output, log = tmp_path / "in", tmp_path / "out", tmp_path / "log"
    process = begun(tmp_path)
    os.killpg(process.pid, number)  # the whole group, as Ctrl-C, the end of a terminal and schedulers do
    summary = summary_of_an_interrupted(process)
    labelled = len(log.read_text().split())
    done = {row["uri"] for row in Dataset.at(str(output)).table().to_pylist()}
    assert len(done) == labelled < IMAGES, "what was begun was finished and committed, once"
    assert (summary["labelled"], summary["failed"], summary["total"]) == (labelled, 0, IMAGES)
    problems = validate(str(output)).problems
    assert len(problems) == IMAGES - labelled
    assert all(problem.endswith("has no row; run the same sam-label run again") for problem in problems)
    assert plan(RunConfig(input=str(photos), output=str(output))).pending == IMAGES - labelled


def summary_of_an_interrupted(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """The summary that the process printed, after its progress lines and one sentence on stderr."""
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 130, stderr
    *others, last_line = stderr.splitlines()
    assert all(re.match(r"\d+ of \d+ images, 0 failed", line) for line in others)
    assert last_line == f"sam-label: {INTERRUPTED}"
    summary: dict[str, Any] = json.loads(stdout)
    return summary
