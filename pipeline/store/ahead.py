"""Joins several listings into one: reads them side by side, and gives them one after the other.

A listing that is read ahead keeps its pages until their turn comes: up to 128 kB in memory, a longer one on
disk. So memory is 8 MB and the pages being read, however long the listings are. The disk is freed once a
listing has been given.
"""

import json
import tempfile
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextvars import copy_context
from dataclasses import astuple
from functools import partial
from itertools import islice
from queue import Empty, SimpleQueue

from pipeline.shutdown import LOOK_UP_S, Call
from pipeline.store.local_disk import local_disk
from pipeline.store.objects import Entry

AT_A_TIME = 16
AHEAD = 64  # listings begun and not given: a long one blocks the threads only if 63 short ones follow it
KEPT_BYTES = 1 << 17


class Abandoned(Exception):
    """Nobody waits for the listing any more."""


def in_order(listings: Iterable[Iterator[list[Entry]]], abandoned: threading.Event) -> Iterator[list[Entry]]:
    """The pages of the listings, one listing after the other; raises an error when its turn has come.

    Once `abandoned` is set, each thread ends after its current request; nobody waits for the threads.
    """
    due: SimpleQueue[_Ahead | None] = SimpleQueue()
    begun: deque[_Ahead] = deque()
    rest = iter(listings)

    def begin(count: int) -> None:
        for listing in islice(rest, count):
            begun.append(_Ahead(listing))
            due.put(begun[-1])

    def read() -> None:
        while not abandoned.is_set() and (ahead := due.get()) is not None:
            ahead.read()

    try:
        begin(AHEAD)
        for _ in range(min(AT_A_TIME, len(begun))):
            Call(partial(copy_context().run, read), "sam-label listing").start()
        while begun:
            yield from begun[0].pages()
            begun.popleft().close()
            begin(1)
    finally:
        abandoned.set()
        for ahead in begun:
            ahead.close()
        for _ in range(AT_A_TIME):
            due.put(None)


class _Ahead:
    """A listing that one thread reads while another may still be busy with those before it."""

    def __init__(self, listing: Iterator[list[Entry]]) -> None:
        self._listing = listing
        self._kept = tempfile.SpooledTemporaryFile(KEPT_BYTES)  # noqa: SIM115  # closed by `close`
        self._lock = threading.Lock()
        # where a page begins in the file, then None or the fault
        self._read: SimpleQueue[int | BaseException | None] = SimpleQueue()

    def read(self) -> None:
        """Reads the listing to its end or its fault."""
        try:
            for page in self._listing:
                self._read.put(self._keep(page))
            self._read.put(None)
        except BaseException as fault:  # noqa: BLE001  # for the thread that waits
            self._read.put(fault)

    def pages(self) -> Iterator[list[Entry]]:
        """The pages as they are read."""
        while (place := self._next()) is not None:
            if isinstance(place, BaseException):
                raise place
            with self._lock:
                self._kept.seek(place)
                line = self._kept.readline()
            yield [Entry(*values) for values in json.loads(line)]

    def close(self) -> None:
        with self._lock:
            self._kept.close()

    def _keep(self, page: list[Entry]) -> int:
        line = json.dumps([astuple(entry) for entry in page]).encode() + b"\n"
        with self._lock:
            if self._kept.closed:
                raise Abandoned
            place = self._kept.seek(0, 2)
            with local_disk("the listing cannot be kept"):
                self._kept.write(line)
            return place

    def _next(self) -> int | BaseException | None:
        # wakes up often, since a signal may reach another thread
        while True:
            try:
                return self._read.get(timeout=LOOK_UP_S)
            except Empty:
                continue
