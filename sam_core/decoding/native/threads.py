"""Runs the kernel in several threads, each of which uses torch with a single thread.

torch.set_num_threads has two effects: on the thread that calls it, and on every thread that starts later. So
the threads are started once and stay. Each sets its own count, and the thread that started them then restores
the count for later threads. A thread of another program that starts in between has torch on one thread too;
if the kernel's threads were started for each call, that would happen sooner or later.
"""

import atexit
import logging
import os
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future, wait
from queue import SimpleQueue
from threading import Lock, Semaphore, Thread

import torch

log = logging.getLogger(__name__)

Work = Callable[[], None]


def run_in_threads(work: Work, count: int) -> None:
    """Calls `work` in `count` threads, or fewer if no more can be started; returns when all have ended.

    Several callers at once have threads of their own.
    Raises: what `work` raises; RuntimeError if not even one thread can be started.
    """
    with _lock:
        free = _free[count]
        team = free.pop() if free else _Team(count)
    calls: list[Future[None]] = []
    try:
        for _ in range(team.size):
            calls.append(team.call(work))
        for call in calls:
            call.result()
    finally:
        wait(calls)
        if team.size == count:
            free.append(team)
        else:  # more may start next time
            team.end()


class _Team:
    """Threads that have started and wait for work; `size` of them, if no more can be started."""

    def __init__(self, count: int) -> None:
        self._calls: SimpleQueue[tuple[Work, Future[None]] | None] = SimpleQueue()
        self._have_begun = Semaphore(0)
        self._threads: list[Thread] = []
        threads = torch.get_num_threads()
        _all.add(self)
        try:
            self._start(count)
            for _ in self._threads:
                self._have_begun.acquire()
        except BaseException:
            self.end()
            raise
        finally:
            torch.set_num_threads(threads)

    @property
    def size(self) -> int:
        return len(self._threads)

    def call(self, work: Work) -> Future[None]:
        """The call of `work` in one of the threads."""
        future: Future[None] = Future()
        self._calls.put((work, future))
        return future

    def end(self) -> None:
        """Ends the threads after their calls."""
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()
        _all.discard(self)

    def _start(self, count: int) -> None:
        for _ in range(count):
            thread = Thread(target=self._serve, name="sam-label kernel", daemon=True)
            try:
                thread.start()
            except RuntimeError as refused:
                if not self._threads:
                    raise RuntimeError(
                        "no thread can be started to decode masks; raise the limit on threads or memory "
                        "(ulimit -u, ulimit -v) or stop other programs"
                    ) from refused
                log.warning("decoding with %d threads instead of %d: %s", self.size, count, refused)
                return
            self._threads.append(thread)

    def _serve(self) -> None:
        # At the first get_num_threads or product in a thread, torch gives it the common count and drops what
        # was set before. So the count is read first. A torch pool in every thread would fight over the cores.
        torch.get_num_threads()
        torch.set_num_threads(1)
        self._have_begun.release()
        while call := self._calls.get():
            work, future = call
            try:
                future.set_result(work())
            except BaseException as fault:  # noqa: BLE001  # for the thread that waits
                future.set_exception(fault)
            del call, work, future  # or their tensors would live until the next call


_free: defaultdict[int, list[_Team]] = defaultdict(list)  # by the count that was asked for
_all: set[_Team] = set()
_lock = Lock()


def _end_all() -> None:
    """Python stops daemon threads in the middle of C++ code when it exits, which aborts the process."""
    for team in list(_all):
        team.end()


def _forget() -> None:
    """A process that was forked has no threads but its own."""
    global _lock
    _free.clear()
    _all.clear()
    _lock = Lock()


atexit.register(_end_all)
os.register_at_fork(after_in_child=_forget)
