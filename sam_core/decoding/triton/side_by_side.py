"""A model's kernels compiled by several processes at once, before a first image asks for one after another.

Triton compiles in Python, which does one thing at a time: threads gain nothing. Each process compiles a share
of what rehearsal.py finds, into Triton's cache, where this process and others of the machine look first. A
mark in the cache says that it was done; what it lacks all the same is compiled when it is needed.
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
MOST_PROCESSES = 8  # the largest kernel takes as long as an eighth of all
MOST_S = 180.0
ROOMS = (Path(__file__).parent, Path(__file__).parents[2] / "model" / "triton")


@dataclass(frozen=True)
class KernelSet:
    """Which kernels: of a model, in a precision, for GPUs of a capability (90 for 9.0)."""

    model_type: str
    precision: str
    capability: int

    @property
    def mark(self) -> str:
        """The name of the mark in a cache; a new one when what makes the kernels has changed."""
        digest = hashlib.sha256(repr((astuple(self), triton.__version__, torch.__version__)).encode())
        for path in sorted(path for room in ROOMS for path in room.glob("*.py")):
            digest.update(path.read_bytes())
        return f"sam-label-{digest.hexdigest()[:32]}"


def compile_side_by_side(kernels: KernelSet, processes: int, cache: Path | None = None) -> bool:
    """Fills Triton's cache with the kernels; False if another process, or an earlier one, has done so.

    Waits for another process that is at it. Raises: OSError if the cache cannot be written.
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
    """Where Triton keeps what it has compiled."""
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
    """Held by one process of the machine at a time, and let go when it ends, however it does."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
