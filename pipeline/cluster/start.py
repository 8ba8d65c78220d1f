"""Starts or joins Ray for the length of a block; each wait has a limit and ends on a signal.

`ray.init` knows neither deadlines nor signals, and cannot be cancelled. So it runs in a thread, which is left
behind if it hangs. In the main thread Ray would also install its own SIGTERM handler, which exits at once.
The thread lives as long as its Ray, since Linux ends Ray's processes together with the thread that started
them.
"""

import io
import logging
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import ray

from pipeline.cluster.address import host_and_port
from pipeline.cluster.labeler_pool import LabelerPool, cores, labeler_pool
from pipeline.cluster.quiet import native_stderr_hushed
from pipeline.cluster.ray_internals import JobWithoutDriverPath, gpus_here, no_new_ray, own_process_groups
from pipeline.cluster.thread_limit import threads_left, threads_needed
from pipeline.config import RunConfig
from pipeline.errors import ClusterLost, SamLabelError, UsageError
from pipeline.shutdown import TRY_AGAIN, Call, answer, in_the_time_left

LEAST_LOCAL_CPUS = 4  # with fewer, actors can reserve all, and the tasks that feed them wait for ever
SPARE_LOCAL_CPUS = 2  # logical ones for fetching and writing, which wait on the network rather than compute
# For the encoded images that wait for one GPU, or for all labelers on CPUs. Ray's default is a third of the
# memory, nearly all of which would stay unused.
OBJECT_STORE_BYTES = 1 << 30
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # Ray's object store lives there
START_S = 120.0  # each process of a local Ray has 30 s to start, and Ray gets a second try
SLOW = "timed out during startup"  # Ray's message when it gives up
JOIN_S = 60.0
END_S = 30.0  # a local Ray takes one or two seconds
FAILED_END_S = 4.0  # of the 30 s that a failed run has to end in (pipeline/shutdown.py)
CONNECT_S, CONNECT_AGAIN_S = 5.0, 1.0

# What to do, by a part of Ray's message.
ADVICE = {
    "AF_UNIX path length": "; set RAY_TMPDIR to a folder with a shorter path",
    "'/dev/shm'": "; mount a tmpfs at /dev/shm, where Ray keeps its objects",
}

_log = logging.getLogger("sam_label.ray")


def local_cpus() -> int:
    """The logical CPUs of a local Ray."""
    return max(LEAST_LOCAL_CPUS, cores() + SPARE_LOCAL_CPUS)


def local_pool(config: RunConfig) -> LabelerPool:
    """The labelers of a local Ray. Raises: as `labeler_pool`."""
    return labeler_pool(config, {"CPU": local_cpus(), "GPU": gpus_here()}, cores())


def object_store_bytes() -> int:
    """Object store of a local Ray: what its GPUs need, if shared memory has room; more would go to a disk."""
    wanted = OBJECT_STORE_BYTES * max(1, gpus_here())
    room = shutil.disk_usage(SHARED_MEMORY).free if SHARED_MEMORY.is_dir() else wanted
    return max(OBJECT_STORE_BYTES, min(wanted, room))


def wait_for_cluster(address: str, limit_s: float) -> None:
    """Returns once something listens at HOST:PORT.

    Raises: UsageError for an address of another form; SamLabelError if nothing has listened for `limit_s`.
    """
    host, port = host_and_port(address)
    if host is None or port is None:
        raise UsageError(
            f"{address} is not the address of a Ray cluster; give HOST:PORT, which `ray start` prints"
        )
    deadline = time.monotonic() + limit_s
    has_spoken = False
    while True:
        try:
            # In a thread, since name resolution has no deadline.
            answer(lambda: socket.create_connection((host, port), CONNECT_S).close(), 2 * CONNECT_S, address)
            return
        except (OSError, SamLabelError) as fault:
            if time.monotonic() >= deadline:
                raise SamLabelError(
                    f"the Ray cluster at {address} did not answer within {limit_s:g} s ({fault}); start it, "
                    "or correct --address or RAY_ADDRESS; without both, the run starts its own Ray"
                ) from fault
            if not has_spoken:
                _log.warning("waiting up to %g s for the Ray cluster at %s (%s)", limit_s, address, fault)
                has_spoken = True
        time.sleep(CONNECT_AGAIN_S)


@contextmanager
def ray_at(address: str) -> Iterator[None]:
    """Ray at an address ("local": a new one for this run) until the end of the block.

    Raises: SamLabelError if it cannot be used, and whatever a signal raises meanwhile.
    """
    starter = _started(address)
    try:
        try:
            yield
        except ClusterLost:
            raise  # without its head Ray's shutdown hangs, and Ray then ends this process
        except BaseException:
            _end_ray(FAILED_END_S)
            raise
        if not _end_ray(END_S):
            _log.warning(
                "the run is complete, but Ray did not stop within %g s and may still be running", END_S
            )
    finally:
        starter.is_over.set()


def unusable(address: str, fault: BaseException) -> SamLabelError:
    """The error that a user sees, with the first line of Ray's own."""
    message = str(fault)
    if message.startswith("Version mismatch"):  # of Ray or Python, on six lines
        message = " ".join(message.split())
    why = (message.splitlines() or [type(fault).__name__])[0]
    advice = next((advice for sign, advice in ADVICE.items() if sign in message), "")
    if not advice and address == "local":
        advice = "; `sam-label doctor` looks at this machine"
    return SamLabelError(f"Ray at {address} cannot be used: {why}{advice}")


def _started(address: str) -> "_Starter":
    if address == "local":
        _warn_of_few_threads()
    limit_s = START_S if address == "local" else JOIN_S
    began, starter = time.monotonic(), _Starter(address)
    try:
        starter.ready_in_time(limit_s)
    except SamLabelError:
        if SLOW not in str(starter.fault):
            raise
        _log.warning("this machine is too busy for Ray to start within its 30 s; starting it once more")
        starter = _Starter(address)
        starter.ready_in_time(limit_s - (time.monotonic() - began))
    return starter


def _warn_of_few_threads() -> None:
    left, needed = threads_left(), threads_needed(local_cpus())
    if left is not None and left < needed:
        _log.warning(
            "only %d more threads may be started here, and Ray needs about %d: if the run does not start or "
            "hangs, raise `ulimit -u` or the container's limit of processes",
            left,
            needed,
        )


class _Starter(Call[None]):
    """Starts Ray and lives until `is_over`; if Ray comes up only after that, it is shut down again."""

    def __init__(self, address: str) -> None:
        super().__init__(self._stay, "sam-label ray")
        self._address = address
        self._is_ready = threading.Event()
        self.is_over = threading.Event()

    def ready_in_time(self, limit_s: float) -> None:
        """Starts Ray and waits for it. Raises: SamLabelError if it fails or takes longer."""
        deadline = time.monotonic() + limit_s
        try:
            with native_stderr_hushed():
                self.start()
                while not self._is_ready.wait(0.1):  # polls, since a signal may reach another thread
                    if not self.is_alive():
                        raise unusable(self._address, self.fault or RuntimeError()) from self.fault
                    if time.monotonic() > deadline:
                        raise SamLabelError(
                            f"Ray at {self._address} did not start within {limit_s:.3g} s; {TRY_AGAIN}"
                        )
        except BaseException:
            self.is_over.set()
            self.leave_behind()
            raise

    def _stay(self) -> None:
        _init(self._address)
        if not self.is_over.is_set():
            self._is_ready.set()
            self.is_over.wait()
        elif ray.is_initialized():
            ray.shutdown()


def _init(address: str) -> None:
    job = JobWithoutDriverPath()
    if address != "local":
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL, job_config=job)
        return
    with own_process_groups():
        ray.init(
            address="local",
            num_cpus=local_cpus(),
            object_store_memory=object_store_bytes(),
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            job_config=job,
        )


def _end_ray(limit_s: float) -> bool:
    """Whether Ray ended in time."""

    def end() -> bool:
        with no_new_ray():
            ray.shutdown()
        return True

    # Ray prints the repeated notices that it has held back.
    with redirect_stdout(io.StringIO()):
        return in_the_time_left(end, limit_s) or False
