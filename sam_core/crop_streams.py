"""Several crops at once on a GPU: one is encoded while another is decoded and a third is run-length encoded.

Each crop is decoded in its own thread with its own CUDA stream: a thread waits only for its own results,
while the device works on what another thread has queued. The caller's thread encodes, and a crop's stream
waits for the caller's stream. On a CPU crops go one at a time: a single crop already keeps it busy.

Torch's ambient state is per thread: these threads do not inherit autocast, default device or grad mode.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from queue import SimpleQueue
from threading import Lock
from typing import Any, TypeVar

import torch

from sam_core.model.host_copies import event_after

Item = TypeVar("Item")
Answer = TypeVar("Answer")

# One crop on the host and one on the device; a third would need device memory too.
CROPS_AT_ONCE = 2
_lock = Lock()


def mapped(call: Callable[[Item], Answer], items: Iterable[Item], device: torch.device) -> Iterator[Answer]:
    """Yields `call(item)` for each item in order; on a GPU later items are made and called meanwhile."""
    if device.type == "cpu":
        return map(call, items)
    return mapped_ahead(call, items, device)


def mapped_ahead(
    call: Callable[[Item], Answer], items: Iterable[Item], device: torch.device
) -> Iterator[Answer]:
    """Yields `call(item)` for each item in order, from threads; no item is made long before its turn."""
    futures: deque[Future[Answer]] = deque()
    with _lock:  # a cache alone lets two threads make it twice
        free = _free_streams(device)
    pool = ThreadPoolExecutor(CROPS_AT_ONCE)
    try:
        for item in items:
            futures.append(pool.submit(_called_on_stream, call, item, free, event_after(device)))
            # One item more than threads, so that a thread that finishes gets its next item at once.
            if len(futures) > CROPS_AT_ONCE:
                yield futures.popleft().result()
        while futures:
            yield futures.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _called_on_stream(
    call: Callable[[Item], Answer], item: Item, free: "SimpleQueue[Any]", queued: Any
) -> Answer:
    stream = free.get()
    try:
        with _entered(stream):
            if stream is not None:
                # The event marks the point at which the item's own tensors are made.
                stream.wait_event(queued)
            return call(item)
    finally:
        free.put(stream)


def _entered(stream: Any) -> AbstractContextManager[Any]:
    return torch.cuda.stream(stream) if stream is not None else nullcontext()


@cache
def _free_streams(device: torch.device) -> "SimpleQueue[Any]":
    """The streams that no thread uses now. Made once, because torch caches freed memory per stream."""
    free: SimpleQueue[Any] = SimpleQueue()
    for _ in range(CROPS_AT_ONCE):
        free.put(torch.cuda.Stream(device) if device.type == "cuda" else None)  # type: ignore[no-untyped-call]
    return free
