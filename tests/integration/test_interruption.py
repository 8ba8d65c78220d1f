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


def test_a_run_that_is_interrupted_leaves_the_rest_for_the_next(tmp_path: Path) -> None:
    photos, output, log = tmp_path / "in", tmp_path / "out", tmp_path / "log"
    photos.mkdir()
    for number in range(IMAGES):
        (photos / f"{number:02d}.png").write_bytes(photo(number))

    process = subprocess.Popen(
        [sys.executable, STAND_IN_RUN, photos, output, "0.2", log],
        env={**os.environ, "RUN_OPTIONS": json.dumps({"workers": 1})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for_commits(output, process, 1)
    os.killpg(process.pid, signal.SIGINT)  # the whole group, as a terminal's Ctrl-C does
    summary = summary_of_an_interrupted(process)
    begun = len(log.read_text().split())
    done = {row["uri"] for row in Dataset.at(str(output)).table().to_pylist()}
    assert len(done) == begun < IMAGES, "what was begun was finished and committed, once"
    assert (summary["labelled"], summary["failed"], summary["total"]) == (begun, 0, IMAGES)
    problems = validate(str(output)).problems
    assert len(problems) == IMAGES - begun
    assert all(problem.endswith("has no row; run the same sam-label run again") for problem in problems)
    assert plan(RunConfig(input=str(photos), output=str(output))).pending == IMAGES - begun


def summary_of_an_interrupted(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """The summary that the process printed, after its progress lines and one sentence on stderr."""
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 130, stderr
    *others, last_line = stderr.splitlines()
    assert all(re.match(r"\d+ of \d+ images, 0 failed", line) for line in others)
    assert last_line == f"sam-label: {INTERRUPTED}"
    summary: dict[str, Any] = json.loads(stdout)
    return summary
