"""Runs this folder's programs; kills a process at a chosen step, before or after a change to the disk."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# A run imports this when it first writes; without it here, each forked process would import it for seconds.
import pipeline.output.sink  # noqa: F401

# All calls that change what other processes see on the disk (pipeline/store/disk.py).
STEPS = [(os, "link"), (Path, "replace"), (Path, "unlink")]


class Steps:
    """Counts the steps of this process's main thread, and ends it before the one with the number `last`."""

    def __init__(self, last: int | None) -> None:
        self.count, self.last = 0, last

    def around(self, change: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            if threading.current_thread() is not threading.main_thread():
                return change(*args, **kwargs)  # the lock's beat depends on the clock
            if self.count == self.last:
                os.kill(os.getpid(), signal.SIGKILL)
            self.count += 1
            return change(*args, **kwargs)

        return counted


def in_a_process_killed_before_step(work: Callable[[], None], last: int | None) -> int | None:
    """The number of steps of `work` in a child process; None if it was killed before step `last`."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        steps = Steps(last)
        for owner, name in STEPS:
            setattr(owner, name, steps.around(getattr(owner, name)))
        status = 1
        try:
            work()
            os.write(writer, str(steps.count).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as answer:
        count = answer.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return None
    assert os.waitstatus_to_exitcode(status) == 0, "the work failed: its traceback is in the output"
    return int(count)


@pytest.fixture
def found_by() -> Callable[..., dict[str, Any]]:
    """Runs a program of this folder with arguments, and returns the figures that it prints."""

    def of(program: str, *arguments: str, **settings: Any) -> dict[str, Any]:
        command = [sys.executable, Path(__file__).with_name(program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, **settings)
        assert done.returncode == 0, done.stderr
        figures: dict[str, Any] = json.loads(done.stdout)
        return figures

    return of


@pytest.fixture(scope="session")
def own_mounts() -> None:
    """Skips the test on a machine that lets no ordinary process mount a disk of its own."""
    mount = ["unshare", "--mount", "--map-root-user", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    if shutil.which(mount[0]) is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets no ordinary process mount a disk")


@pytest.fixture
def killed_before(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None], int | None], int | None]:
    """in_a_process_killed_before_step; nothing waits for the medium, since a killed process loses no page."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    return in_a_process_killed_before_step
