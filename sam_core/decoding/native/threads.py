"""Runs the kernel in several threads, each of which uses torch with a single thread.

torch.set_num_threads has two effects: on the thread that calls it, and on every thread that starts later. So
the threads are started once and stay. Each sets its own count, and the thread that started them then restores
the count for later threads. A thread of another program that starts in between has torch on one thread too;
if the kernel's threads were started for each call, that would happen sooner or later.
"""

import logging
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Event, Lock, Semaphore

import torch

log = logging.getLogger(__name__)


def run_in_threads(work: Callable[[], None], count: int) -> None:
    """Calls `work` in `count` threads and returns when all have ended; in fewer if no more can be started.

    Raises: what `work` raises; RuntimeError if not even one thread can be started.
    """
    with _lock:
        team = _teams.get(count) or _Team.of(count)
        if team.size == count:
            _teams[count] = team
    tasks = [team.pool.submit(work) for _ in range(team.size)]
    try:
        for task in tasks:
            task.result()
    finally:
        wait(tasks)
        if team.size < count:  # more may start next time
            team.pool.shutdown()


@dataclass(frozen=True)
class _Team:
    """Threads that have begun and wait for work."""

    pool: ThreadPoolExecutor
    size: int

    @classmethod
    def of(cls, count: int) -> "_Team":
        """A team of `count` threads, or of as many as can be started. Raises: RuntimeError for none."""
        threads = torch.get_num_threads()
        have_begun, all_have = Semaphore(0), Event()

        def begin() -> None:
            have_begun.release()
            all_have.wait()  # so that no thread takes the beginning of two

        pool = ThreadPoolExecutor(max(1, count), initializer=_use_one_torch_thread)
        try:
            tasks = _submitted(pool, begin, count)
            for _ in tasks:
                have_begun.acquire()
        finally:
            torch.set_num_threads(threads)
            all_have.set()
        if len(tasks) == count:
            return cls(pool, count)
        pool.shutdown()  # it would try to start the missing ones at every call
        return cls.of(len(tasks))


def _use_one_torch_thread() -> None:
    # At the first get_num_threads or product in a thread, torch gives it the common count and drops what was
    # set before. So the count is read first. A torch pool in every thread would fight over the cores.
    torch.get_num_threads()
    torch.set_num_threads(1)


def _submitted(pool: ThreadPoolExecutor, begin: Callable[[], None], count: int) -> list[Future[None]]:
    tasks: list[Future[None]] = []
    for _ in range(count):
        try:
            tasks.append(pool.submit(begin))
        except RuntimeError as refused:
            if not tasks:
                raise RuntimeError(
                    "no thread can be started to decode masks; raise the limit of threads or memory "
                    "(ulimit -u, ulimit -v) or stop other programs"
                ) from refused
            log.warning("decoding in %d threads instead of %d: %s", len(tasks), count, refused)
            break
    return tasks


_teams: dict[int, _Team] = {}
_lock = Lock()


def _forget() -> None:
    """In a process that was forked there are no threads but its own."""
    global _lock
    _teams.clear()
    _lock = Lock()


os.register_at_fork(after_in_child=_forget)
