"""Work of the kernel in several threads, each of which has torch on one thread.

torch.set_num_threads counts twice: for the thread that calls it, and for every thread that begins later. So
each worker sets its own count, and the caller sets its count back as soon as all have.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Semaphore

import torch

log = logging.getLogger(__name__)


def run_in_threads(work: Callable[[], None], count: int) -> None:
    """Calls `work` in `count` threads and returns when all have ended; of fewer if no more can be started.

    Raises: what `work` raises; RuntimeError if not even one thread can be started.
    """
    threads = torch.get_num_threads()
    have_set = Semaphore(0)  # counts the workers that have set their own number; none waits for another

    def run() -> None:
        # Torch gives a thread the common count at its first question or product there, in place of what was
        # set before. So it is asked first. Its own pool in each thread would fight over the cores.
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
