"""Keeps Ray off the terminal: a person sees the run's own progress, and stdout carries only data.

Ray writes through Python's logging, directly from C++, and from a thread that prints to standard output. What
that thread prints goes to the logger `sam_label.ray`, which `--debug` and `--verbose` show; the rest is in
Ray's own logs. An error that ends a run becomes the run's own error. After the block all is as before.
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

NO_PROGRESS_S = 6 * 3600  # large images with many crops can take a CPU hours, and spot GPUs may come late
# Ray Data adds a labeler while those that it has hold one block each, though they can hold CALLS_AT_ONCE: its
# own threshold would not be reached if some cannot start. It removes one when half of them have no block.
FULL_FROM, EMPTY_FROM = 1 / CALLS_AT_ONCE, 0.5 / CALLS_AT_ONCE
DATA_SETTINGS = {
    "autoscaling_config": AutoscalingConfig(
        actor_pool_util_upscaling_threshold=FULL_FROM, actor_pool_util_downscaling_threshold=EMPTY_FROM
    ),
    "enable_progress_bars": False,
    "print_on_execution_start": False,
    "execution_no_progress_timeout_s": NO_PROGRESS_S,
    # A step's output is one block. Of several, one could be lost with its node, and Ray would repeat the step
    # for it; that is right only if each row falls into the same block both times.
    "target_max_block_size": None,
}
LOGGERS = ("ray", "ray.data", "ray.serve", "ray.tune")
_RAYS_VARIABLES = re.compile("RAY_.*|PYTHONBREAKPOINT")

_log = logging.getLogger("sam_label.ray")


@contextmanager
def quiet_ray() -> Iterator[None]:
    """Inside the block Ray is quiet and sends no usage report; other code prints as before."""
    context = ray.data.DataContext.get_current()
    settings = {name: getattr(context, name) for name in DATA_SETTINGS}
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    # For Ray's C++ code, which prints that the variable is set: see native_stderr_hushed.
    level = os.environ.get("RAY_BACKEND_LOG_LEVEL", "fatal")
    # On a cluster that sends usage reports, Ray Data would report this run too, from one more process.
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
            # There is no other argument yet that says where a task runs.
            warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")
            yield
    finally:
        for name, value in settings.items():
            setattr(context, name, value)
        for name, number in levels.items():
            logging.getLogger(name).setLevel(number)


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Sets environment variables inside the block; what Ray sets meanwhile is undone at the end too.

    Ray sets RAY_AUTH_MODE: if it stayed, the next cluster to be joined would pass as authenticated.
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
    """Inside the block nothing reaches the stderr of the process, not even from C++."""
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
    """Standard output, except that what Ray's printing thread writes is logged instead."""

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
