"""How many labelers run at once, and what each reserves. With one too many, Ray waits for ever."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import RunConfig
from pipeline.errors import UsageError

FEW, MANY = 8, 128  # images that travel together: a task's few milliseconds hide behind 8 images of a CPU
BLOCKS_A_LABELER = 16  # at least, where there are many images, so that labelers finish together
THREADS_A_LABELER = 2  # more images side by side scale better than more threads on one image
CPUS_FOR_TASKS = 1  # which labelers leave to fetching and writing


@dataclass(frozen=True)
class LabelerPool:
    """How many labelers run at once, and what each reserves."""

    workers: int
    threads: int
    gpus: int  # 0 or 1

    @property
    def device(self) -> str:
        return "cuda" if self.gpus else "cpu"

    @property
    def decoders(self) -> int:
        return 2 if self.gpus else 1  # a GPU outruns one decoder, a CPU labeler never does

    @property
    def images_at_once(self) -> int:
        return 4 if self.gpus else 1  # a GPU encodes one image while it decodes another; a CPU does one thing

    def images_in_block(self, images: int) -> int:
        """How many of a run's images travel together. A GPU does 40 a second, and many share a driver."""
        share = images // (self.workers * BLOCKS_A_LABELER)
        return min(max(share, FEW), MANY) if self.gpus else FEW

    @property
    def needs(self) -> dict[str, float]:
        """What Ray must have free for all of them."""
        return {"CPU": self.workers * self.threads + CPUS_FOR_TASKS, "GPU": self.workers * self.gpus}


def labeler_pool(config: RunConfig, resources: Mapping[str, float], cores: int | None = None) -> LabelerPool:
    """The labelers that a Ray with `resources` (its CPU and GPU counts) should run.

    `cores`: if its logical CPUs are more than these, labelers compute with no more threads than cores.
    Raises: UsageError if what was asked for does not fit.
    """
    cpus, gpus = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
    if config.device == "cuda" and gpus == 0:
        raise UsageError("--device cuda was asked for, but Ray finds no GPU here; use --device cpu or auto")
    on_gpus = config.device != "cpu" and gpus > 0
    usable = cpus - CPUS_FOR_TASKS if cores is None else cores
    threads = 1 if on_gpus else max(1, min(THREADS_A_LABELER, usable))
    most = min(gpus, cpus - CPUS_FOR_TASKS) if on_gpus else usable // threads
    pool = LabelerPool(config.workers or max(1, most), threads, int(on_gpus))
    short = [
        f"{need:g} {kind}s (it has {resources.get(kind, 0):g})"
        for kind, need in pool.needs.items()
        if need > resources.get(kind, 0)
    ]
    if short:
        raise UsageError(
            f"{pool.workers} labelers need {' and '.join(short)} of Ray; ask for fewer with --workers"
        )
    return pool


def cores() -> int:
    """The CPU cores that this process may use: its affinity, and its container's share."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(affinity, int(quota) // int(period)))
    except (OSError, ValueError):  # no control groups, or no limit ("max")
        return affinity
