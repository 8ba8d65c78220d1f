"""How many labelers run at once, and what each reserves.

On one machine their number is fixed before the start: with one too many, Ray would wait for ever. On a
cluster it is what the nodes have room for; on GPUs it grows and shrinks with the cluster (infra/adr/0020).
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config import RunConfig
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from ray.data import ActorPoolStrategy

FEW, MANY = 8, 64  # images in a block; a task's few milliseconds do not matter beside 8 images on a CPU
BLOCKS_A_LABELER = 16  # at least, where there are many images, so that labelers finish together
THREADS_A_LABELER = 2  # more images side by side scale better than more threads on one image
# Most encoded bytes in a block. A gigabyte of Ray's object store holds 32 such blocks; with room for only
# four to seven blocks each, labelers waited for images (tests/bench/RESULTS.md).
BLOCK_BYTES = 32 << 20
CALLS_AT_ONCE = 2  # blocks that a labeler has at once, so that it goes from one to the next without a pause
LEAST_DECODERS, MOST_DECODERS = 2, 4  # decoders of a labeler on a GPU
CPUS_FOR_TASKS = 1  # that labelers leave free for fetching and writing


@dataclass(frozen=True)
class LabelerPool:
    """How many labelers run at once, and what each reserves."""

    workers: int  # at the start
    threads: int
    gpus: int  # 0 or 1
    is_elastic: bool = False
    most: int | None = None  # labelers of an elastic pool; None without a bound
    cpus_a_gpu: int = 0  # CPUs for each GPU of a node, where they are fewest

    @property
    def device(self) -> str:
        return "cuda" if self.gpus else "cpu"

    @property
    def decoders(self) -> int:
        """Decoders of a labeler: a GPU is faster than one or two of them, a CPU never is."""
        return min(max(LEAST_DECODERS, self.cpus_a_gpu // 2), MOST_DECODERS) if self.gpus else 1

    def images_in_block(self, images: int, image_bytes: float = 0.0, are_frames: bool = False) -> int:
        """How many images a block has; each block costs time of the driver, which all GPUs share.

        image_bytes: average size of an encoded image. are_frames: many images may be in one file, which a
            block fetches once.
        """
        share = images // (self.workers * BLOCKS_A_LABELER)
        most = min(max(share, FEW), MANY) if self.gpus else FEW
        return max(FEW if are_frames else 1, min(most, int(BLOCK_BYTES // max(image_bytes, 1))))

    @property
    def cpus(self) -> int:
        """CPUs that Ray reserves for each; 0 on a GPU, or a growing pool could take all from the tasks."""
        return 0 if self.gpus else self.threads

    @property
    def strategy(self) -> "ActorPoolStrategy":
        """The pool in Ray Data's terms."""
        from ray.data import ActorPoolStrategy  # here: `doctor` counts labelers where it cannot be imported

        return ActorPoolStrategy(
            min_size=self.workers,
            max_size=self.most if self.is_elastic else self.workers,
            max_tasks_in_flight_per_actor=CALLS_AT_ONCE,
            max_concurrent_calls_per_actor=CALLS_AT_ONCE,
            enable_true_multi_threading=True,
        )

    @property
    def needs(self) -> dict[str, float]:
        """What Ray must have free for all labelers and the tasks."""
        return {"CPU": self.workers * self.threads + CPUS_FOR_TASKS, "GPU": self.workers * self.gpus}


def labeler_pool(config: RunConfig, resources: Mapping[str, float], cores: int | None = None) -> LabelerPool:
    """The labelers that one machine with `resources` (its CPU and GPU counts) should run.

    `cores`: the machine's CPU cores, if Ray counts more CPUs; labelers then use no more threads than cores.
    Raises: UsageError if the labelers that were asked for do not fit.
    """
    cpus, gpus = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
    on_gpus = _are_on_gpus(config, gpus, "here; use")
    usable = cpus - CPUS_FOR_TASKS if cores is None else cores
    threads = 1 if on_gpus else max(1, min(THREADS_A_LABELER, usable))
    most = min(gpus, cpus - CPUS_FOR_TASKS) if on_gpus else usable // threads
    cpus_a_gpu = cpus // gpus if on_gpus else 0
    pool = LabelerPool(config.workers or max(1, most), threads, int(on_gpus), cpus_a_gpu=cpus_a_gpu)
    short = [
        f"{need:g} {kind}s (Ray has {resources.get(kind, 0):g} here)"
        for kind, need in pool.needs.items()
        if need > resources.get(kind, 0)
    ]
    if short:
        raise UsageError(
            f"{pool.workers} labelers need {' and '.join(short)}; "
            + (f"give at most {most} as --workers" if most else "give Ray more")
        )
    return pool


def cluster_pool(config: RunConfig, nodes: Sequence[Mapping[str, float]]) -> LabelerPool:
    """The labelers for which a cluster of `nodes` (CPU and GPU counts) has room, at most --workers.

    Raises: UsageError if there is room for none.
    """
    cpus, gpus = ([int(node.get(kind, 0)) for node in nodes] for kind in ("CPU", "GPU"))
    advice = "on the cluster; add a node, wait longer with --cluster-wait-s, or use"
    on_gpus = _are_on_gpus(config, sum(gpus), advice)
    # Nodes may differ, and a labeler runs on one node: the largest node limits its threads.
    most_cpus = max(cpus, default=0) if len(nodes) > 1 else sum(cpus) - CPUS_FOR_TASKS
    threads = 1 if on_gpus else max(1, min(THREADS_A_LABELER, most_cpus))
    room = sum(
        min(has_cpus, has_gpus) if on_gpus else has_cpus // threads
        for has_cpus, has_gpus in zip(cpus, gpus, strict=True)
    )
    room = min(room, (sum(cpus) - CPUS_FOR_TASKS) // threads)
    if room < 1:
        one = f"{threads} CPUs and a GPU" if on_gpus else f"{threads} CPUs"
        raise UsageError(
            f"no node of the Ray cluster has room for a labeler ({one}) in addition to {CPUS_FOR_TASKS} CPU "
            f"for other work; it has {sum(cpus)} CPUs and {sum(gpus)} GPUs on {len(nodes)} nodes; add a "
            "node, "
            "or wait longer with --cluster-wait-s"
        )
    workers = min(room, config.workers or room)
    # Only pools on GPUs are elastic: CPU labelers added later would take the CPUs that feed the others.
    cpus_a_gpu = min(has // count for has, count in zip(cpus, gpus, strict=True) if count) if on_gpus else 0
    return LabelerPool(workers, threads, int(on_gpus), on_gpus, config.workers, cpus_a_gpu)


def _are_on_gpus(config: RunConfig, gpus: int, without: str) -> bool:
    if config.device == "cuda" and gpus == 0:
        raise UsageError(f"--device cuda is set, but Ray finds no GPU {without} --device cpu or auto")
    return config.device != "cpu" and gpus > 0


def cores() -> int:
    """The CPU cores that this process may use, by its affinity and its container's limit."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(affinity, int(quota) // int(period)))
    except (OSError, ValueError):  # no control groups, or no limit ("max")
        return affinity
