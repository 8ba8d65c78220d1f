"""Products and convolutions in full float32, whatever torch's flags allow.

Torch may compute them with fewer bits: TF32 on a GPU, the default for cuDNN's convolutions, and bfloat16 on
some CPUs. Only process-wide flags control this. They are off while one of our threads is inside, and are
restored when the last one has left; a flag that other code sets meanwhile stays as it was set.

Since torch 2.9 there are two sets of flags, and reading a flag of the older set raises if the newer set
disagrees. Both are switched, the older one first, because it sets flags of the newer one too.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import backends

INHERITED = "none"


@dataclass(frozen=True, eq=False)
class _Flag:
    """A flag of torch: where it is, and its values that leave float32 in full, first the one to set."""

    holder: Any
    name: str
    full: tuple[Any, ...]

    def read(self) -> Any:
        """Its value; None if torch refuses to read it, because the two sets disagree."""
        try:
            return getattr(self.holder, self.name)
        except RuntimeError:
            return None

    def is_full(self, value: Any) -> bool:
        """Whether this value leaves float32 in full, or is unknown."""
        return value is None or value in self.full

    def switch_off(self) -> None:
        """Sets the flag so that it leaves float32 in full."""
        if not self.is_full(self.read()):
            setattr(self.holder, self.name, self.full[0])

    def restore(self, value: Any) -> None:
        """Restores the value; inherits it from the flag above if that has the same value."""
        if value is None or self.read() == value:
            return
        if INHERITED in self.full:
            setattr(self.holder, self.name, INHERITED)
        if self.read() != value:
            setattr(self.holder, self.name, value)


class _ProductsOfTorch:
    """The older flag for products, a pair of functions in torch, as an attribute."""

    @property
    def precision(self) -> str:
        return torch.get_float32_matmul_precision()

    @precision.setter
    def precision(self, value: str) -> None:
        torch.set_float32_matmul_precision(value)


def _flags() -> list[_Flag]:
    older = [
        _Flag(_ProductsOfTorch(), "precision", ("highest",)),
        _Flag(backends.cudnn, "allow_tf32", (False,)),
    ]
    if not hasattr(backends.cudnn, "conv"):
        return older
    mkldnn: Any = backends.mkldnn  # torch's type stubs lack some of its attributes
    holders = (backends.cuda.matmul, backends.cudnn.conv, mkldnn.matmul, mkldnn.conv)
    return older + [_Flag(holder, "fp32_precision", ("ieee", INHERITED)) for holder in holders]


class _Switch:
    """The flags of the process, and how many callers are inside."""

    def __init__(self) -> None:
        self._flags = _flags()
        self._lock = threading.Lock()
        self._inside = 0
        self._before: dict[_Flag, Any] = {}
        self._left: dict[_Flag, Any] = {}  # values after switching off

    def enter(self) -> None:
        """Switches off the flags that are on, also those that other code has switched on since."""
        with self._lock:
            self._inside += 1
            found = {flag: flag.read() for flag in self._flags}
            if all(flag.is_full(value) for flag, value in found.items()):
                return
            for flag, value in found.items():
                if flag not in self._left or self._left[flag] != value:
                    self._before[flag] = value
                if not flag.is_full(value):
                    flag.switch_off()
            self._left = {flag: flag.read() for flag in self._flags}

    def leave(self) -> None:
        """The last caller to leave restores the flags that no other code has set since."""
        with self._lock:
            self._inside -= 1
            if self._inside:
                return
            ours = [flag for flag, value in self._left.items() if flag.read() == value]
            for flag in ours:
                flag.restore(self._before[flag])
            self._before, self._left = {}, {}


_switch = _Switch()


@contextmanager
def full_float32() -> Iterator[None]:
    """Full float32 in all float32 products and convolutions of the process."""
    try:
        _switch.enter()
        yield
    finally:
        _switch.leave()
