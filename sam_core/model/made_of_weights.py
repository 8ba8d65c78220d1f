"""What is made of a module's weights and kept as long as these stay as they are."""

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from torch import nn

Made = TypeVar("Made")

Version = tuple[tuple[int, int], ...]


class MadeOfWeights(Generic[Made]):
    """Things made of modules, one for each key. Threads that ask at once get the same one.

    They last as long as their module, and must not refer to it: what is kept here would then keep the module.
    """

    def __init__(self) -> None:
        self._made: WeakKeyDictionary[nn.Module, dict[Hashable, tuple[Version, Made]]] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def get(self, module: nn.Module, key: Hashable, make: Callable[[], Made]) -> Made:
        """What `make` has made, for the weights as they are now; what it raises is not kept."""
        with self._lock:
            of_module = self._made.setdefault(module, {})
            version = _version(module)
            if key not in of_module or of_module[key][0] != version:
                of_module[key] = (version, make())
            return of_module[key][1]


def _version(module: nn.Module) -> Version:
    """Changes with every weight that is replaced, moved or written to."""
    return tuple(
        # a model that was loaded in inference mode counts no writes, and allows none outside of it
        (weight.data_ptr(), 0 if weight.is_inference() else weight._version)
        for weight in module.parameters()
    )
