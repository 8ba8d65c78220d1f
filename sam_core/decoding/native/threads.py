"""Runs the kernel in several threads, each of which uses torch with a single thread.

torch.set_num_threads has two effects: on the thread that calls it, and on every thread that starts later. So
each worker sets its own count, and the caller restores its count as soon as all workers have set theirs.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Semaphore

import torch

log = logging.getLogger(__name__)


def run_in_threads(work: Callable[[], None], count: int) -> None:
    """Calls `work` in `count` threads, or fewer if no more can be started; returns when all have ended.

    Raises: what `work` raises; RuntimeError if not even one thread can be started.
    """
    threads = torch.get_num_threads()
    have_set = Semaphore(0)  # counts the workers that have set their own number; none waits for another

    def run() -> None:
        # At the first get_num_threads or product in a thread, torch gives it the common count and drops what
        # was set before. So the count is read first. A torch pool in every thread would fight over the cores.
        torch.get_num_threads()
        torch.set_num_threads(1)
        have_set.release()
        work()

    try:
        with ThreadPoolExecutor(max(1, count)) as pool:
            tasks = _submitted(pool, run, count)
            for _ in tasks:
                have_set.acquire()
            torch.set_num_threads(threads)
            for task in tasks:
                task.result()
    finally:
        torch.set_num_threads(threads)


def _submitted(pool: ThreadPoolExecutor, run: Callable[[], None], count: int) -> list[Future[None]]:
    tasks: list[Future[None]] = []
    for _ in range(count):
        try:
            tasks.append(pool.submit(run))
        except RuntimeError as refused:
            if not tasks:
                raise RuntimeError(
                    "no thread can be started to decode masks; raise the limit of threads or memory "
                    "(ulimit -u, ulimit -v) or stop other programs"
                ) from refused
            log.warning("decoding in %d threads in place of %d: %s", len(tasks), count, refused)
            break
    return tasks
