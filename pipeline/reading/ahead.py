"""Starts work before its result is asked for."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")


def ahead(work: Callable[[T], U], items: Iterable[T], count: int) -> Iterator[U]:
    """The result of `work` for each item, in order, while threads work on the next `count` items.

    The first error ends it; waiting items are then not started. With a count of 0 nothing is done ahead.
    """
    if count == 0:
        yield from map(work, items)
        return
    threads = ThreadPoolExecutor(count)
    under_way: deque[Future[U]] = deque()
    try:
        for item in items:
            under_way.append(threads.submit(work, item))
            if len(under_way) > count:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
