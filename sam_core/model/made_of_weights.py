"""What is made of a module's weights and kept as long as these stay as they are."""

import threading
from collections.abc import Callable, Hashable, Sequence
from itertools import chain
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from torch import nn

Made = TypeVar("Made")

Version = tuple[tuple[int, int], ...]


class MadeOfWeights(Generic[Made]):
    """Things made of modules, one for each key. Threads that ask at once get the same one.

    They last as long as their first module, and must not refer to it: what is kept here would then keep it.
    """

    def __init__(self) -> None:
        self._made: WeakKeyDictionary[nn.Module, dict[Hashable, tuple[Version, Made]]] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def get(self, modules: Sequence[nn.Module], key: Hashable, make: Callable[[], Made]) -> Made:
        """What `make` has made, for the weights and buffers as they are now; what it raises is not kept."""
        with self._lock:
            of_module = self._made.setdefault(modules[0], {})
            version = _version(modules)
            if key not in of_module or of_module[key][0] != version:
                of_module[key] = (version, make())
            return of_module[key][1]


def _version(modules: Sequence[nn.Module]) -> Version:
    """Changes with every weight or buffer that is replaced, moved or written to in a way torch counts."""
    return tuple(
        # a model that was loaded in inference mode counts no writes, and allows none outside of it
        (tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version)
        for module in modules
        for tensor in chain(module.parameters(), module.buffers())
    )
