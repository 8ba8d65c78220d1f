"""Since when a generator has been idle, for the code that feeds it; updated from several threads."""

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
        """A copy starts with no crop in progress."""
        return UnderWay, ()

    @property
    def idle_since(self) -> float:
        """When the last crop was done, by time.perf_counter(); inf while a crop is in progress."""
        with self._lock:
            return math.inf if self._crops else self._idle_since

    def begin(self, crops: int) -> None:
        """Counts crops that go to the encoder."""
        with self._lock:
            self._crops += crops

    @contextmanager
    def ends(self) -> Iterator[None]:
        """Counts a crop as done at the end of the with block, even if the block raises."""
        try:
            yield
        finally:
            self._take_off(1)

    def stop(self) -> None:
        """Counts all crops as done, whatever became of them."""
        self._take_off(self._crops)

    def _take_off(self, crops: int) -> None:
        with self._lock:
            self._crops = max(0, self._crops - crops)  # a generator may have several streams
            if not self._crops:
                self._idle_since = time.perf_counter()
