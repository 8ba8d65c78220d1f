"""Since when a generator has had nothing to do, which its feeder wants to know; told from several threads."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock


class UnderWay:
    """Counts the crops between a generator's encoder and their masks."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._crops = 0
        self._idle_since = -math.inf

    def __reduce__(self) -> tuple[type["UnderWay"], tuple[()]]:
        """A copy has nothing under way."""
        return UnderWay, ()

    @property
    def idle_since(self) -> float:
        """When the last crop was done, by time.perf_counter(); inf while one is under way."""
        with self._lock:
            return math.inf if self._crops else self._idle_since

    def begin(self, crops: int) -> None:
        """So many crops go to the encoder."""
        with self._lock:
            self._crops += crops

    @contextmanager
    def ends(self) -> Iterator[None]:
        """A crop is done at the end of the block of code, also if it raises."""
        try:
            yield
        finally:
            self._take_off(1)

    def stop(self) -> None:
        """No crop is under way any more, whatever became of those that were begun."""
        self._take_off(self._crops)

    def _take_off(self, crops: int) -> None:
        with self._lock:
            self._crops = max(0, self._crops - crops)  # a generator may have several streams
            if not self._crops:
                self._idle_since = time.perf_counter()
