"""A cache of the last few values that are costly to make: footers, listings, small row groups."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

from pipeline.fork_locks import WithLocks

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Kept(WithLocks, Generic[K, V]):
    """The last used values by key, up to a total weight of `most`; no two threads make the same one."""

    def __init__(self, most: int, weight: Callable[[V], int] = lambda _: 1) -> None:
        self._most, self._weight = most, weight
        self._values: OrderedDict[K, V] = OrderedDict()
        super().__init__()

    def make_locks(self) -> None:
        self._lock = Lock()
        self._making: dict[K, Lock] = {}

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The cached value, or a new one from `make`."""
        with self._lock:
            making = self._making.setdefault(key, Lock())
        with making:
            with self._lock:
                if key in self._values:
                    self._values.move_to_end(key)
                    return self._values[key]
            try:
                value = make()
            except BaseException:
                with self._lock:
                    self._making.pop(key, None)
                raise
            with self._lock:  # kept before its lock is gone: who asks next finds one or the other
                self._values[key] = value
                self._making.pop(key, None)
                while sum(map(self._weight, self._values.values())) > self._most:
                    self._values.popitem(last=False)
            return value
