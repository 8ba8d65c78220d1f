"""Limits requests to a web host, for all processes of a machine: how many at a time, and how far apart.

A turn is a lock on one of the host's slot files, which the system releases however the process ends. A file
beside them holds the time of the next request. A cluster of N machines makes N times as many requests. The
folder of these files has a name that other users can guess, so it counts only if nobody else can write there.
"""

import fcntl
import logging
import math
import os
import random
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from urllib.parse import quote

from pipeline.shutdown import is_ending
from pipeline.store.settings import HttpsSettings

POLL_S = 0.02
MOST_HELD_S = 120.0  # the longest wait that a host gets with Retry-After

_log = logging.getLogger("sam_label.store")


@contextmanager
def turn(host: str, settings: HttpsSettings) -> Iterator[None]:
    """Waits for a turn at the host, and holds it for the `with` block. Raises: OSError if the run ends."""
    folder = _folder(host)
    slot = _free_slot(folder, settings.connections)
    try:
        start_s = _reserved(folder, settings.delay_s)
        while (wait_s := start_s - time.time()) > 0:
            _refuse_at_the_end()
            time.sleep(min(wait_s, 0.5))
        yield
    finally:
        _release(slot)


def hold(host: str, seconds: float) -> None:
    """Nobody on this machine gets a turn at the host for that long, MOST_HELD_S at most."""
    _reserved(_folder(host), 0.0, not_before_s=time.time() + min(seconds, MOST_HELD_S))


def _free_slot(folder: Path, slots: int) -> int:
    """An open, locked slot file; closing it ends the turn."""
    while True:
        for number in random.sample(range(slots), slots):
            slot = _opened(folder / str(number))
            try:
                fcntl.flock(slot, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(slot)
            else:
                return slot
        _refuse_at_the_end()
        time.sleep(POLL_S * (1 + random.random()))


def _reserved(folder: Path, delay_s: float, not_before_s: float = 0.0) -> float:
    """When the next request may start, by the clock; the one after it may start `delay_s` later."""
    file = _opened(folder / "next")
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        # a clock that was set back must not cause a longer wait than anybody asked for
        next_s = min(_time_in(os.pread(file, 64, 0)), time.time() + 3600 + MOST_HELD_S)
        start_s = max(time.time(), next_s, not_before_s)
        if delay_s or not_before_s:
            os.ftruncate(file, 0)
            os.pwrite(file, repr(start_s + delay_s).encode(), 0)
        return start_s
    finally:
        _release(file)


def _release(file: int) -> None:
    """Unlocks and closes a file; closing alone keeps it locked if a process was forked meanwhile."""
    fcntl.flock(file, fcntl.LOCK_UN)
    os.close(file)


def _time_in(text: bytes) -> float:
    """The time that the text states, 0 if it states none."""
    try:
        time_s = float(text)
    except ValueError:
        return 0.0
    return time_s if math.isfinite(time_s) else 0.0


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _folder(host: str) -> Path:
    folder = (_shared(tempfile.gettempdir()) or Path(_own().name)) / quote(host, safe="")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _shared(temporary: str) -> Path | None:
    """The folder that all processes of this user share; None if another user could write there."""
    folder = Path(temporary, f"sam-label-{os.getuid()}-hosts")
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
    return folder if is_ours and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) else None


@cache
def _own() -> tempfile.TemporaryDirectory[str]:
    """A folder of this process alone."""
    _log.warning(
        "the folder sam-label-%d-hosts in %s is not this user's alone; remove it, or each process limits its "
        "requests to web hosts by itself",
        os.getuid(),
        tempfile.gettempdir(),
    )
    return tempfile.TemporaryDirectory(prefix="sam-label-")


def _refuse_at_the_end() -> None:
    if is_ending():
        raise InterruptedError("the run ends")
