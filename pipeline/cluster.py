"""The Ray that a run uses, and the room that its labelers have there, found out before any work.

A local Ray is this run's own: reachable by token only, no dashboard, quiet. A cluster is joined by its
address; one on the network without token authentication runs code for whoever reaches it, and is refused.
"""

import logging
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import ray
from ray._private import auto_init_hook
from ray._private.accelerators import NvidiaGPUAcceleratorManager

from pipeline.config import RunConfig
from pipeline.errors import SamLabelError, UsageError
from pipeline.quiet_ray import native_stderr_hushed, quiet_ray

LEAST_LOCAL_CPUS = 4  # with fewer, actors can hold them all and the tasks that feed them wait for ever
SPARE_LOCAL_CPUS = 2  # logical ones for fetching and writing, which wait on the network rather than compute
OBJECT_STORE_BYTES = (
    1 << 30
)  # encoded images on their way; Ray's default, a third of the memory, is no use here
THREADS_A_LABELER = 2  # more images side by side scale better than more threads on one image
NO_GPU = "--device cuda was asked for, but Ray finds no GPU here; use --device cpu or auto"
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
    def images_at_once(self) -> int:
        return 4 if self.gpus else 1  # a GPU encodes one image while it decodes another; a CPU does one thing

    @property
    def needs(self) -> dict[str, float]:
        """What Ray must have free for all of them."""
        return {"CPU": self.workers * self.threads + CPUS_FOR_TASKS, "GPU": self.workers * self.gpus}


def labeler_room(config: RunConfig, resources: Mapping[str, float], cores: int | None = None) -> LabelerRoom:
    """The labelers that a Ray with `resources` (its CPU and GPU counts) should run.

    `cores`: where its logical CPUs are more than these, labelers compute with no more threads than cores.
    Raises: UsageError where what was asked for does not fit.
    """
    cpus, gpus = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
    if config.device == "cuda" and gpus == 0:
        raise UsageError(NO_GPU)
    on_gpus = config.device != "cpu" and gpus > 0
    usable = cpus - CPUS_FOR_TASKS if cores is None else cores
    threads = 1 if on_gpus else max(1, min(THREADS_A_LABELER, usable))
    most = gpus if on_gpus else usable // threads
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


def refuse_missing_gpu(config: RunConfig) -> None:
    """Raises UsageError where a run on this machine asks for a GPU that Ray would not find."""
    is_local = not ray.is_initialized() and _address(config) == "local"
    if (
        config.device == "cuda"
        and is_local
        and not NvidiaGPUAcceleratorManager.get_current_node_num_accelerators()
    ):
        raise UsageError(NO_GPU)


@contextmanager
def ray_session(config: RunConfig) -> Iterator[LabelerRoom]:
    """Ray, ready, for the duration; one that the caller has started before is used and left as it is.

    Raises: UsageError, SamLabelError where the cluster is not reached.
    """
    address = _address(config)
    _refuse_unsafe(address, config.allow_unauthenticated_cluster)
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # else Ray writes one into the home folder

    with quiet_ray():
        if ray.is_initialized():
            yield labeler_room(config, _resources())
            return
        try:
            with native_stderr_hushed():
                _start(address)
        except (ConnectionError, RuntimeError, ValueError) as fault:
            raise SamLabelError(f"Ray at {address} cannot be used: {str(fault).splitlines()[0]}") from fault
        try:
            if address == "local":
                yield labeler_room(config, _resources(), cores())
            else:
                yield _room_in_time(config)
        finally:
            # A pipeline that was abandoned lives on in its thread, and its next call would start another Ray.
            auto_init_hook.enable_auto_connect = False
            ray.shutdown()


def _room_in_time(config: RunConfig) -> LabelerRoom:
    """The room for labelers, once there is any: nodes of a cluster come and go."""
    deadline = time.monotonic() + config.cluster_wait_s
    while True:
        try:
            return labeler_room(config, _resources())
        except UsageError:
            if time.monotonic() > deadline:
                raise
        time.sleep(1)


def _resources() -> Mapping[str, float]:
    return dict(ray.cluster_resources())  # type: ignore[no-untyped-call]


def _start(address: str) -> None:
    if address != "local":
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
        return
    ray.init(
        address="local",
        num_cpus=max(LEAST_LOCAL_CPUS, cores() + SPARE_LOCAL_CPUS),
        object_store_memory=OBJECT_STORE_BYTES,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.CRITICAL,
    )


def cores() -> int:
    """The CPU cores that this process may use: its affinity, and its container's share."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(affinity, int(quota) // int(period)))
    except (OSError, ValueError):  # no control groups, or no limit ("max")
        return affinity


def _address(config: RunConfig) -> str:
    return config.address or os.environ.get("RAY_ADDRESS") or "local"


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
