"""Compiles a model's kernels in several processes at once, so that a first image does not do it one by one.

Triton compiles in Python, where threads gain nothing. Each process compiles a share of what rehearsal.py
finds into Triton's cache, which all processes of the machine use. A mark file in the cache records that this
was done; a kernel that is missing all the same is compiled when it is needed.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

import torch
import triton

PROGRAM = "sam_core.decoding.triton.rehearsal"
MOST_PROCESSES = 8  # the largest kernel takes an eighth of the whole time
MOST_S = 180.0
ROOMS = (Path(__file__).parent, Path(__file__).parents[2] / "model" / "triton")


@dataclass(frozen=True)
class KernelSet:
    """The kernels of a model in a precision, for GPUs of a capability (90 for 9.0)."""

    model_type: str
    precision: str
    capability: int

    @property
    def mark(self) -> str:
        """The name of the mark in a cache; it changes with the kernels' sources and compilers."""
        digest = hashlib.sha256(repr((astuple(self), triton.__version__, torch.__version__)).encode())
        for path in sorted(path for room in ROOMS for path in room.glob("*.py")):
            digest.update(path.read_bytes())
        return f"sam-label-{digest.hexdigest()[:32]}"


def compile_side_by_side(kernels: KernelSet, processes: int, cache: Path | None = None) -> bool:
    """Fills Triton's cache with the kernels; False if another process, or an earlier one, has done so.

    Waits for another process that is doing so. Raises: OSError if the cache cannot be written.
    """
    folder = triton_cache() if cache is None else cache
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / kernels.mark
    with _lock(folder / "sam-label.lock"):
        if mark.exists():
            return False
        _compile(kernels, min(processes, MOST_PROCESSES), folder)
        mark.touch()
    return True


def triton_cache() -> Path:
    """Where Triton stores what it has compiled."""
    try:
        return Path(triton.knobs.cache.dir)
    except AttributeError:  # before Triton 3.3
        return Path(os.environ.get("TRITON_CACHE_DIR") or Path.home() / ".triton" / "cache")


def _compile(kernels: KernelSet, processes: int, folder: Path) -> None:
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(filter(os.path.isabs, sys.path)),
        "TRITON_CACHE_DIR": str(folder),
    }
    command = [sys.executable, "-P", "-m", PROGRAM, *map(str, astuple(kernels))]
    deadline = time.monotonic() + MOST_S
    started = list[subprocess.Popen[bytes]]()
    try:
        for share in range(processes):
            started.append(
                subprocess.Popen(  # noqa: S603  # our own module, no shell
                    [*command, str(share), str(processes)],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
        for process in started:
            process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        pass
    finally:
        for process in started:
            process.kill()
            process.wait()


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """A lock that one process of the machine holds at a time; it is released even if the process crashes."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
