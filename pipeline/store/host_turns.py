"""Limits requests to a web host, for all processes of a machine: how many at a time, and how far apart.

A turn is a lock on one of the host's slot files, which the system releases however the process ends. A file
beside them holds the time of the next request. A cluster of N machines makes N times as many requests.
"""

import fcntl
import os
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from pipeline.shutdown import is_ending
from pipeline.store.settings import HttpsSettings

POLL_S = 0.02
MOST_HELD_S = 120.0  # the longest wait that a host gets with Retry-After


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
        os.close(slot)


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
        text = os.pread(file, 64, 0)
        # a clock that was set back must not cause a longer wait than anybody asked for
        next_s = min(float(text or 0), time.time() + 3600 + MOST_HELD_S)
        start_s = max(time.time(), next_s, not_before_s)
        if delay_s or not_before_s:
            os.ftruncate(file, 0)
            os.pwrite(file, repr(start_s + delay_s).encode(), 0)
        return start_s
    finally:
        os.close(file)


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _folder(host: str) -> Path:
    folder = Path(tempfile.gettempdir(), f"sam-label-{os.getuid()}-hosts", quote(host, safe=""))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _refuse_at_the_end() -> None:
    if is_ending():
        raise InterruptedError("the run ends")
