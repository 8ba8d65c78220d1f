"""Caches objects that are computed from a module's weights until the weights change."""

import threading
from collections.abc import Callable, Hashable, Sequence
from itertools import chain
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from torch import nn

Made = TypeVar("Made")

Version = tuple[tuple[int, int], ...]


class MadeOfWeights(Generic[Made]):
    """Objects made from modules, one for each key. Threads that ask at the same time get the same object.

    An object lasts as long as its first module. It must not refer to the module, or neither is ever freed.
    """

    def __init__(self) -> None:
        self._made: WeakKeyDictionary[nn.Module, dict[Hashable, tuple[Version, Made]]] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def get(self, modules: Sequence[nn.Module], key: Hashable, make: Callable[[], Made]) -> Made:
        """The result of `make` for the current weights and buffers; nothing is stored if `make` raises."""
        with self._lock:
            of_module = self._made.setdefault(modules[0], {})
            version = _version(modules)
            if key not in of_module or of_module[key][0] != version:
                of_module[key] = (version, make())
            return of_module[key][1]


def _version(modules: Sequence[nn.Module]) -> Version:
    """Changes with every weight or buffer that is replaced, moved or written to (if torch counts writes)."""
    return tuple(
        # tensors of a model loaded in inference mode count no writes, and allow none outside that mode
        (tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version)
        for module in modules
        for tensor in chain(module.parameters(), module.buffers())
    )
