"""The Ray that a run uses, and the room that its labelers have there, found out before any work.

A local Ray is this run's own: reachable by token only, no dashboard, quiet. A cluster is joined by its
address; one on the network without token authentication runs code for whoever reaches it, and is refused.
"""

import logging
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.config import RunConfig
from pipeline.errors import SamLabelError, UsageError

LEAST_LOCAL_CPUS = 4  # with fewer, actors can hold them all and the tasks that feed them wait for ever
SPARE_LOCAL_CPUS = 2  # logical ones for fetching and writing, which wait on the network rather than compute
OBJECT_STORE_BYTES = (
    1 << 30
)  # encoded images on their way; Ray's default, a third of the memory, is no use here
THREADS_A_LABELER = 2  # more images side by side scale better than more threads on one image
NO_PROGRESS_S = 6 * 3600  # a block of large images with many crops on a CPU takes hours, spot GPUs too
CPUS_FOR_TASKS = 1  # that labelers must leave


@dataclass(frozen=True)
class LabelerRoom:
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
    def needs(self) -> dict[str, float]:
        """What Ray must have free for all of them."""
        return {"CPU": self.workers * self.threads + CPUS_FOR_TASKS, "GPU": self.workers * self.gpus}


def labeler_room(config: RunConfig, resources: Mapping[str, float]) -> LabelerRoom:
    """The labelers that a Ray with `resources` (its CPU and GPU counts) should run.

    Raises: UsageError where what was asked for does not fit.
    """
    cpus, gpus = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
    if config.device == "cuda" and gpus == 0:
        raise UsageError("--device cuda was asked for, but Ray finds no GPU here; use --device cpu or auto")
    on_gpus = config.device != "cpu" and gpus > 0
    threads = 1 if on_gpus else THREADS_A_LABELER
    most = gpus if on_gpus else (cpus - CPUS_FOR_TASKS) // threads
    room = LabelerRoom(config.workers or max(1, most), threads, int(on_gpus))
    short = [
        f"{need:g} {kind}s (it has {resources.get(kind, 0):g})"
        for kind, need in room.needs.items()
        if need > resources.get(kind, 0)
    ]
    if short:
        raise UsageError(
            f"{room.workers} labelers need {' and '.join(short)} of Ray; ask for fewer with --workers"
        )
    return room


@contextmanager
def ray_session(config: RunConfig) -> Iterator[LabelerRoom]:
    """Ray, ready, for the duration; one that the caller has started before is used and left as it is.

    Raises: UsageError, SamLabelError where the cluster is not reached.
    """
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # else Ray writes one into the home folder
    address = config.address or os.environ.get("RAY_ADDRESS") or "local"
    _refuse_unsafe(address, config.allow_unauthenticated_cluster)

    import ray  # after the token: Ray reads it once, when it is loaded

    configure_ray_data()
    if ray.is_initialized():
        yield labeler_room(config, _resources())
        return
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its C++ side speaks past Python's logging
    try:
        with _native_stderr_hushed():  # where it would announce just that
            _start(address)
    except (ConnectionError, RuntimeError, ValueError) as fault:
        raise SamLabelError(f"Ray at {address} cannot be used: {str(fault).splitlines()[0]}") from fault
    try:
        yield labeler_room(config, _resources())
    finally:
        ray.shutdown()


@contextmanager
def _native_stderr_hushed() -> Iterator[None]:
    """Nothing reaches the process's stderr for the while, from code that no Python setting quietens either."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _resources() -> Mapping[str, float]:
    import ray

    return dict(ray.cluster_resources())  # type: ignore[no-untyped-call]


def _start(address: str) -> None:
    import ray

    if address != "local":
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        return
    ray.init(
        address="local",
        num_cpus=max(LEAST_LOCAL_CPUS, cores() + SPARE_LOCAL_CPUS),
        object_store_memory=OBJECT_STORE_BYTES,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )


def cores() -> int:
    """The CPU cores that this process may use: its affinity, and its container's share."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(affinity, int(quota) // int(period)))
    except (OSError, ValueError):  # no control groups, or no limit ("max")
        return affinity


def configure_ray_data() -> None:
    """Ray's progress bars and notices off, a person at a terminal sees the run's own; and more patience."""
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_no_progress_timeout_s = NO_PROGRESS_S
    for name in ("ray", "ray.data", "ray.serve", "ray.tune"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _refuse_unsafe(address: str, allowed: bool) -> None:
    if address.startswith("ray://"):
        raise UsageError(
            f"{address} is a Ray Client address, over which Ray Data does not run reliably; start "
            "sam-label on the cluster, for example with `ray job submit`"
        )
    host = urlsplit(f"//{address}").hostname
    if allowed or address in ("local", "auto") or host in ("127.0.0.1", "::1", "localhost"):
        return
    if os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
        raise UsageError(
            f"the Ray cluster at {address} would be used without token authentication; set "
            "RAY_AUTH_MODE=token on it and here, or pass --allow-unauthenticated-cluster"
        )
