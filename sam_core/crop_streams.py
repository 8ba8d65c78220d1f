"""Several crops under way on a GPU: one is encoded while one is decoded and another's masks become runs.

Each crop runs in a thread with a CUDA stream of its own, so that a thread that waits for its answers waits
for its own work alone, and the device always has another's queued. The encoder stays with the caller, whose
stream a crop's own waits for. A CPU is busy with one crop already.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from queue import SimpleQueue
from typing import Any, TypeVar

import torch

Item = TypeVar("Item")
Answer = TypeVar("Answer")

# One on the host and one on the device; a third would cost its working memory on the device again.
CROPS_UNDER_WAY = 2


def mapped(call: Callable[[Item], Answer], items: Iterable[Item], device: torch.device) -> Iterator[Answer]:
    """`call(item)` of each item in order; on a GPU the next items are made and called meanwhile."""
    if device.type == "cpu":
        return map(call, items)
    return mapped_ahead(call, items, device)


def mapped_ahead(
    call: Callable[[Item], Answer], items: Iterable[Item], device: torch.device
) -> Iterator[Answer]:
    """`call(item)` of each item in order, in threads; no item is made long before its turn."""
    futures: deque[Future[Answer]] = deque()
    pool = ThreadPoolExecutor(CROPS_UNDER_WAY)
    try:
        for item in items:
            futures.append(pool.submit(_called_beside, call, item, device, _queued(device)))
            if len(futures) > CROPS_UNDER_WAY:  # one waits, so that a thread that ends finds its next item
                yield futures.popleft().result()
        while futures:
            yield futures.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _called_beside(call: Callable[[Item], Answer], item: Item, device: torch.device, queued: Any) -> Answer:
    free = _free_streams(device)
    stream = free.get()
    try:
        with _entered(stream):
            if stream is not None:
                stream.wait_event(queued)  # the item's own tensors are made by then
            return call(item)
    finally:
        free.put(stream)


def _queued(device: torch.device) -> Any:
    """An event after all that this thread has queued so far; None where there are no streams."""
    return torch.cuda.current_stream(device).record_event() if device.type == "cuda" else None


def _entered(stream: Any) -> AbstractContextManager[Any]:
    return torch.cuda.stream(stream) if stream is not None else nullcontext()


@cache
def _free_streams(device: torch.device) -> "SimpleQueue[Any]":
    """Streams that no thread has. Made once: torch keeps freed memory for each stream apart."""
    free: SimpleQueue[Any] = SimpleQueue()
    for _ in range(CROPS_UNDER_WAY):
        free.put(torch.cuda.Stream(device) if device.type == "cuda" else None)  # type: ignore[no-untyped-call]
    return free
