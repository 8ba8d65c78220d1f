"""Ray kept off the terminal: a person there sees the run's own progress, and stdout carries data alone.

Ray speaks through Python's logging, from C++ past it, and from a thread that prints to standard output.
What ends a run is told as the run's own error; the rest goes to the logger `sam_label.ray`, where --debug
shows it.
"""

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, TextIO, cast

import ray.data

NO_PROGRESS_S = 6 * 3600  # a block of large images with many crops takes a CPU hours, and spot GPUs come late
_PRINTING_THREAD = "ray_listen_error_messages"

_log = logging.getLogger("sam_label.ray")


@contextmanager
def quiet_ray() -> Iterator[None]:
    """Ray is quiet for the while; code of others still prints where it did."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_no_progress_timeout_s = NO_PROGRESS_S
    for name in ("ray", "ray.data", "ray.serve", "ray.tune"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    os.environ.setdefault(
        "RAY_BACKEND_LOG_LEVEL", "fatal"
    )  # for C++, which announces that: native_stderr_hushed
    with redirect_stdout(cast(TextIO, _WithoutRaysNotices(sys.stdout))):
        yield


@contextmanager
def native_stderr_hushed() -> Iterator[None]:
    """Nothing reaches the stderr of the process for the while, not even from C++."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


class _WithoutRaysNotices:
    """Standard output, but for what Ray's listening thread writes to it: that is logged."""

    def __init__(self, stdout: TextIO) -> None:
        self._stdout = stdout

    def write(self, text: str) -> int:
        if threading.current_thread().name != _PRINTING_THREAD:
            return self._stdout.write(text)
        if text.strip():
            _log.info(text.strip())
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stdout, name)
