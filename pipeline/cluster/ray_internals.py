"""All private names of Ray that a run needs, in one place.

No other module uses such names. `require_internals` looks all of them up before any work, so that a Ray
without one is reported at once, and not in the middle of a run.
"""

import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import ray
from ray.job_config import JobConfig
from ray.job_submission import JobSubmissionClient

from pipeline.errors import SamLabelError

TRIED_WITH = ("2.60.0",)  # versions of Ray
# Ray's thread that prints notices of its cluster to standard output, whatever the driver does.
PRINTING_THREAD = "ray_listen_error_messages"

_AUTO_CONNECT = "ray._private.auto_init_hook:enable_auto_connect"
_GPUS = "ray._private.accelerators:NvidiaGPUAcceleratorManager.get_current_node_num_accelerators"
_TOKEN = "ray._raylet:AuthenticationTokenLoader.instance"  # noqa: S105  # the name of a function
_ADDRESS = "ray._private.services:get_ray_address_from_environment"
_EXECUTOR = "ray.data._internal.execution.streaming_executor:StreamingExecutor"
_END_OF_EXECUTOR = f"{_EXECUTOR}.shutdown"
_GCS = "ray._raylet:GcsClient"
_NODE = "ray._private.worker:_global_node"
_POPEN = "ray._private.services:ConsolePopen"
_METADATA = "ray._common.usage.usage_lib:get_cluster_metadata"
_TEMPORARY = "ray._common.utils:get_default_system_temp_dir"
_ON_THE_PATH = "ray.job_config:JobConfig._runtime_env_has_working_dir"
# Loggers of the job server's client, which report each request and the sizes of files.
CLIENT_LOGGERS = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)
NAMES = (
    _AUTO_CONNECT,
    _GPUS,
    _TOKEN,
    _ADDRESS,
    _EXECUTOR,
    _END_OF_EXECUTOR,
    _GCS,
    _METADATA,
    _NODE,
    _POPEN,
    _TEMPORARY,
    _ON_THE_PATH,
)


def local_processes() -> Mapping[str, int | None]:
    """The exit codes of the processes of a Ray that this process started, None while they live; by name."""
    node = _internal(_NODE)
    started = node.all_processes if node is not None else {}
    return {name: infos[-1].process.poll() for name, infos in started.items()}


def require_internals() -> None:
    """Raises SamLabelError for a Ray that lacks one of NAMES."""
    for name in NAMES:
        _internal(name)


def gpus_here() -> int:
    """The GPUs that a Ray started on this machine would count."""
    return int(_internal(_GPUS)())


def temporary_folder() -> Path:
    """The folder in which a Ray started on this machine makes its own."""
    return Path(_internal(_TEMPORARY)())


def running_address() -> str:
    """The GCS address of the Ray that `auto` stands for. Raises: ConnectionError if there is none."""
    return str(_internal(_ADDRESS)("auto", None))


def versions_at(address: str) -> tuple[str, str] | None:
    """Versions of Ray and Python of the cluster whose head is at HOST:PORT; None if it does not answer.

    `ray.init` reports faults of the connection.
    """
    try:
        noted = _internal(_METADATA)(_internal(_GCS)(address=address))
        return noted["ray_version"], noted["python_version"]
    except (ray.exceptions.RayError, RuntimeError, AttributeError, KeyError, ValueError):
        return None


def versions_of_server(client: JobSubmissionClient) -> tuple[str, str] | None:
    """The versions of Ray and Python of a job server's cluster; None if it does not tell."""
    try:
        noted = client._do_request("GET", "/api/v0/cluster_metadata").json()["data"]
        return noted["rayVersion"], noted["pythonVersion"]
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def forget_token() -> None:
    """Makes Ray read its token from the environment or the token file again."""
    _internal(_TOKEN)().reset_cache()


@contextmanager
def no_new_ray() -> Iterator[None]:
    """No call starts a Ray inside the block, nor later if an abandoned pipeline may still call Ray."""
    module, _, switch = _AUTO_CONNECT.partition(":")
    hook, before = import_module(module), _internal(_AUTO_CONNECT)
    setattr(hook, switch, False)
    try:
        yield
    finally:
        if not executors():
            setattr(hook, switch, before)


@contextmanager
def own_process_groups() -> Iterator[None]:
    """A Ray that is started inside the block has its processes outside the group of this process.

    So a signal to the group (from a closed terminal, `timeout` or a scheduler) reaches the driver alone, and
    it ends Ray in order. Only on Linux, which ends them if the driver dies. Elsewhere Ray ends them by the
    group, and they ignore the end of a terminal.
    """
    module, _, name = _POPEN.partition(":")
    services, before = import_module(module), _internal(_POPEN)
    if sys.platform == "linux":
        setattr(services, name, partial(before, process_group=0))
    else:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # which they inherit from this thread
    try:
        yield
    finally:
        setattr(services, name, before)


def executors() -> list[Any]:
    """Ray Data's executor threads in this process, whoever has started them."""
    return [thread for thread in threading.enumerate() if isinstance(thread, _internal(_EXECUTOR))]


def end_executor(executor: Any) -> None:
    """Ends an executor thread, and the tasks and actors that it runs."""
    executor.shutdown(force=True)


class JobWithoutDriverPath(JobConfig):
    """A job that adds neither the working directory nor the script's folder to its workers' import path.

    Ray adds both unless the job has a `working_dir`; with a real one, each worker is started by an agent.
    """

    def _runtime_env_has_working_dir(self) -> bool:
        return True


def _internal(name: str) -> Any:
    module, _, path = name.partition(":")
    try:
        value: Any = import_module(module)
        for part in path.split("."):
            value = getattr(value, part)
    except (ImportError, AttributeError) as missing:
        raise SamLabelError(
            f"Ray {ray.__version__} has no {name.replace(':', '.')}, which sam-label needs; install the "
            f"version that it was tested with: pip install 'ray[data]=={TRIED_WITH[-1]}'"
        ) from missing
    return value
