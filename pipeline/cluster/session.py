"""The Ray that a run uses, and the room that its labelers have there, found out before any work.

A local Ray is this run's own: reachable by token only, no dashboard, quiet. A cluster is joined by its
address; one on the network without token authentication runs code for whoever reaches it, and is refused.
"""

import io
import logging
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, redirect_stdout
from urllib.parse import urlsplit

import ray
from ray._private import auto_init_hook, services
from ray._private.accelerators import NvidiaGPUAcceleratorManager
from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined]  # compiled

from pipeline.cluster.labeler_pool import LabelerRoom, cores, labeler_room
from pipeline.cluster.quiet import native_stderr_hushed, quiet_ray
from pipeline.config import RunConfig
from pipeline.errors import ClusterLost, SamLabelError, UsageError
from pipeline.shutdown import in_the_time_left, signals_noted

LEAST_LOCAL_CPUS = 4  # with fewer, actors can hold them all and the tasks that feed them wait for ever
SPARE_LOCAL_CPUS = 2  # logical ones for fetching and writing, which wait on the network rather than compute
OBJECT_STORE_BYTES = (
    1 << 30
)  # encoded images on their way; of Ray's default, a third of memory, nothing is used
RAY_END_S = 4.0  # for a run that failed: a local Ray takes one or two


def refuse_what_does_not_fit(config: RunConfig) -> None:
    """Raises UsageError where a local Ray would have no room for what is asked for; starts nothing."""
    if not ray.is_initialized() and _address(config) == "local":
        gpus = NvidiaGPUAcceleratorManager.get_current_node_num_accelerators()
        labeler_room(config, {"CPU": local_cpus(), "GPU": gpus}, cores())


@contextmanager
def ray_session(config: RunConfig) -> Iterator[LabelerRoom]:
    """Ray, ready, for the duration; one that the caller has started before is used and left as it is.

    Raises: UsageError, SamLabelError where the cluster is not reached.
    """
    address = _address(config)
    _refuse_unsafe(address, config.allow_unauthenticated_cluster)
    if ray.is_initialized():
        with quiet_ray():
            yield labeler_room(config, _resources())
        return
    own_token = address == "local" and "RAY_AUTH_TOKEN" not in os.environ
    # In the main thread Ray would put its own handler of SIGTERM in place, which exits at once. The thread
    # stays: Linux ends Ray's processes together with the thread that has started them.
    thread = ThreadPoolExecutor(1)
    with quiet_ray(), _token_of_its_own() if own_token else nullcontext(), thread:
        try:
            with native_stderr_hushed(), signals_noted() as interrupted:
                thread.submit(_start, address).result()
        except Exception as fault:  # Ray raises a bare one where its processes start too slowly
            raise _unusable(address, fault) from fault
        try:
            if interrupted.is_set():
                raise KeyboardInterrupt
            if address == "local":
                yield labeler_room(config, _resources(), cores())
            else:
                yield _room_in_time(config)
        except ClusterLost:
            raise  # Ray does not end without its head: it hangs, and then takes the process along
        except BaseException:
            in_the_time_left(_end_ray, RAY_END_S)
            raise
        _end_ray()


def _unusable(address: str, fault: Exception) -> SamLabelError:
    why = (str(fault).splitlines() or [type(fault).__name__])[0]
    return SamLabelError(f"Ray at {address} cannot be used: {why}")


def _end_ray() -> None:
    # A pipeline that was abandoned lives on in its thread, and its next call would start another Ray.
    auto_init_hook.enable_auto_connect = False
    with redirect_stdout(io.StringIO()):  # Ray prints the notices that it has held back as repeated
        ray.shutdown()


@contextmanager
def _token_of_its_own() -> Iterator[None]:
    """A new token, which a local Ray takes instead of writing one into the home folder; gone at the end.

    A cluster that is joined next is met with the user's token again (RAY_AUTH_TOKEN_PATH, ~/.ray/auth_token).
    """
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    AuthenticationTokenLoader.instance().reset_cache()
    try:
        yield
    finally:
        del os.environ["RAY_AUTH_TOKEN"]
        AuthenticationTokenLoader.instance().reset_cache()


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
        num_cpus=local_cpus(),
        object_store_memory=OBJECT_STORE_BYTES,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.CRITICAL,
    )


def local_cpus() -> int:
    """The logical CPUs of a local Ray."""
    return max(LEAST_LOCAL_CPUS, cores() + SPARE_LOCAL_CPUS)


def _address(config: RunConfig) -> str:
    """Where the Ray is that the run joins, "local" for one of its own; `auto` is looked up, as Ray does."""
    address = config.address or os.environ.get("RAY_ADDRESS") or "local"
    if address != "auto":
        return address
    try:
        return str(services.get_ray_address_from_environment("auto", None))
    except ConnectionError as fault:
        raise _unusable(address, fault) from fault


def _refuse_unsafe(address: str, allowed: bool) -> None:
    if address.startswith("ray://"):
        raise UsageError(
            f"{address} is a Ray Client address, over which Ray Data does not run reliably; start "
            "sam-label on the cluster, for example with `ray job submit`"
        )
    host = urlsplit(f"//{address}").hostname
    if allowed or host in ("127.0.0.1", "::1", "localhost"):
        return
    if address == "local":
        if not ray.is_initialized() and os.environ.get("RAY_AUTH_MODE", "token").lower() != "token":
            raise UsageError(
                "RAY_AUTH_MODE is set to something other than token, and would open this run's own Ray to "
                "whoever reaches this machine; unset it, or pass --allow-unauthenticated-cluster"
            )
        return
    if os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
        raise UsageError(
            f"the Ray cluster at {address} would be used without token authentication; set "
            "RAY_AUTH_MODE=token on it and here, or pass --allow-unauthenticated-cluster"
        )
