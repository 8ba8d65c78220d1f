"""Ray kept off the terminal: a person there sees the run's own progress, and stdout carries data alone.

Ray speaks through Python's logging, from C++ past it, and from a thread that prints to standard output.
What ends a run becomes the run's own error. What that thread prints goes to the logger `sam_label.ray`, which
`--debug` and `--verbose` show; the rest is in Ray's own logs. All is as it was when the block is left.
"""

import logging
import os
import re
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, TextIO, cast

import ray.data
from ray.data.context import AutoscalingConfig

from pipeline.cluster.labeler_pool import CALLS_AT_ONCE
from pipeline.cluster.ray_internals import PRINTING_THREAD

NO_PROGRESS_S = 6 * 3600  # a block of large images with many crops takes a CPU hours, and spot GPUs come late
# A labeler is added while those that are there have a block each, though they can have CALLS_AT_ONCE: Ray
# Data's own figure would not be reached if some cannot start. One is let go when half of them have none.
FULL_FROM, EMPTY_FROM = 1 / CALLS_AT_ONCE, 0.5 / CALLS_AT_ONCE
DATA_SETTINGS = {
    "autoscaling_config": AutoscalingConfig(
        actor_pool_util_upscaling_threshold=FULL_FROM, actor_pool_util_downscaling_threshold=EMPTY_FROM
    ),
    "enable_progress_bars": False,
    "print_on_execution_start": False,
    "execution_no_progress_timeout_s": NO_PROGRESS_S,
    # A step's output is one block. If one of several was lost with its node, the step would be done again for
    # that one, which is right only if both times each row fell into the same block.
    "target_max_block_size": None,
}
LOGGERS = ("ray", "ray.data", "ray.serve", "ray.tune")
_RAYS_VARIABLES = re.compile("RAY_.*|PYTHONBREAKPOINT")

_log = logging.getLogger("sam_label.ray")


@contextmanager
def quiet_ray() -> Iterator[None]:
    """Ray is quiet for the while, and reports nothing to its makers; other code prints where it did."""
    context = ray.data.DataContext.get_current()
    settings = {name: getattr(context, name) for name in DATA_SETTINGS}
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    # For C++, which would announce the variable itself: see native_stderr_hushed.
    level = os.environ.get("RAY_BACKEND_LOG_LEVEL", "fatal")
    # On a cluster that reports its use to Ray's makers, Ray Data would add this run, by one more process.
    reports_use = os.environ.get("RAY_USAGE_STATS_ENABLED", "0")
    try:
        for name, value in DATA_SETTINGS.items():
            setattr(context, name, value)
        for name in LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        with (
            warnings.catch_warnings(),
            environment({"RAY_BACKEND_LOG_LEVEL": level, "RAY_USAGE_STATS_ENABLED": reports_use}),
            redirect_stdout(cast(TextIO, _WithoutRaysNotices(sys.stdout))),
        ):
            # Where a task is placed has no other name yet.
            warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")
            yield
    finally:
        for name, value in settings.items():
            setattr(context, name, value)
        for name, number in levels.items():
            logging.getLogger(name).setLevel(number)


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """These environment variables for the while; what Ray sets meanwhile for itself is gone at the end too.

    RAY_AUTH_MODE is among that: left behind, it would vouch for the next cluster that is joined.
    """
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        for name in {name for name in {*before, *os.environ} if _RAYS_VARIABLES.fullmatch(name)} | {*values}:
            if name in before:
                os.environ[name] = before[name]
            else:
                os.environ.pop(name, None)


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
    """Standard output, except for what Ray's printing thread writes to it: that is logged."""

    def __init__(self, stdout: TextIO) -> None:
        self._stdout = stdout

    def write(self, text: str) -> int:
        if threading.current_thread().name != PRINTING_THREAD:
            return self._stdout.write(text)
        if text.strip():
            _log.info(text.strip())
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stdout, name)
