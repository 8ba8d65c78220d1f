"""The identity of a process, from which another process can see whether it still lives.

A pid is unique only within one boot and pid namespace (two containers of one pod share their host's name).
Pids are reused, so the start time is part of the identity.
"""

import os
import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ProcessIdentity:
    """A process, as it stands in a lock."""

    host: str
    pid: int
    pid_space: str  # boot and pid namespace; "" if the system does not tell
    started: str  # in clock ticks since boot; "" if the system does not tell

    @property
    def is_dead_here(self) -> bool:
        """Whether this process can see that the other is gone; False if it cannot know."""
        if not self.pid_space or self.pid_space != _pid_space():
            return False
        started = _started(self.pid)
        return started != self.started and (started != "" or not _is_of_another_user(self.pid))


def this_process() -> ProcessIdentity:
    """The identity of the calling process."""
    return ProcessIdentity(socket.gethostname(), os.getpid(), _pid_space(), _started(os.getpid()))


def _pid_space() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return ""  # not Linux: a dead holder is then noticed by its silence


def _started(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    state, *fields = stat.rpartition(")")[2].split()  # the name before ")" may hold anything
    return "" if state in "ZX" else fields[18]  # a zombie has ended and only its parent does not know yet


def _is_of_another_user(pid: int) -> bool:
    """Whether another user's process has the pid; /proc may hide it (hidepid, as on shared login nodes)."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        pass
    return False
