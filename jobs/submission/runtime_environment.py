"""What a cluster gets with a run: the sam-label that is installed here, an image, or nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from jobs.submission.installed_wheel import installed_wheel
from pipeline.errors import UsageError

# Ray kills a stopped job after 3 s by default; a run has 30 s to commit what was done (pipeline/shutdown.py).
STOPS_IN_ORDER = {"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "35"}}
UPLOADED = "${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}"  # Ray's name for the folder, on each node


@contextmanager
def runtime_environment(image: str | None, preinstalled: bool) -> Iterator[dict[str, Any]]:
    """Ray's `runtime_env`, whose files are there until the end of the block.

    Without an image and without `preinstalled`, pip installs the wheel on each node, and the dependencies
    that are missing there. Raises: UsageError if both are asked for.
    """
    if image and preinstalled:
        raise UsageError("--image and --preinstalled exclude each other: an image has its own sam-label")
    if preinstalled:
        yield STOPS_IN_ORDER
    elif image:
        yield {"image_uri": image} | STOPS_IN_ORDER
    else:
        with TemporaryDirectory(prefix="sam-label-") as folder:
            wheel = installed_wheel(Path(folder))
            yield {"working_dir": folder, "pip": [f"{UPLOADED}/{wheel.name}"]} | STOPS_IN_ORDER
