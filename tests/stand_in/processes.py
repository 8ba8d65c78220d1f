"""The processes below given ones, from /proc, so that a test kills only what it has started itself."""

import os
import signal
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def descendants(roots: Iterable[int]) -> list[int]:
    """The live processes below `roots`, each after its parent, without the roots."""
    children = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):  # it ended meanwhile
                # The name, in brackets, may hold spaces; state and parent follow it.
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                if state != "Z":
                    children[int(parent)].append(int(entry.name))
    found = []
    waiting = list(roots)
    while waiting:
        below = children[waiting.pop()]
        found += below
        waiting += below
    return found


def title(pid: int) -> str:
    """The title of the process, in which Ray's workers name their task; "" if it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return ""


def kill(pids: Iterable[int]) -> int:
    """Kills the processes and returns how many still existed."""
    killed = 0
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            killed += 1
    return killed
