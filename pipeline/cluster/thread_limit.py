"""How many more threads this user or container may start. Ray needs hundreds, and hangs without them."""

import os
import resource
from pathlib import Path

# Of an idle local Ray with four CPUs 217 were counted. A run adds labelers with torch, decoders and tasks.
RAY_THREADS, THREADS_A_CPU = 300, 50
CGROUP = Path("/sys/fs/cgroup")


def threads_needed(cpus: int) -> int:
    """The threads of a run with a local Ray of so many logical CPUs, estimated."""
    return RAY_THREADS + cpus * THREADS_A_CPU


def threads_left() -> int | None:
    """The threads that may still be started; None if there is no limit."""
    limits = [left for left in (_left_to_user(), _left_to_container()) if left is not None]
    return min(limits, default=None)


def _left_to_user() -> int | None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    if soft == resource.RLIM_INFINITY or os.geteuid() == 0 or not Path("/proc/self/task").is_dir():
        return None  # root has no limit
    return soft - sum(_threads(process) for process in Path("/proc").iterdir() if process.name.isdecimal())


def _threads(process: Path) -> int:
    """The threads of a process of this user; 0 for another's, and for one that is gone."""
    try:
        return len(list((process / "task").iterdir())) if process.stat().st_uid == os.geteuid() else 0
    except OSError:
        return 0


def _left_to_container() -> int | None:
    try:
        limit, used = ((CGROUP / name).read_text().strip() for name in ("pids.max", "pids.current"))
    except OSError:
        return None
    return int(limit) - int(used) if limit.isdecimal() else None
