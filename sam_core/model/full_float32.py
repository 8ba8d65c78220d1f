"""Products and convolutions of float32 in full, whatever torch's flags allow.

Torch may take them with fewer bits: TF32 on a GPU, the default for cuDNN's convolutions, and bfloat16 on some
CPUs. Only flags of the whole process say so. They are switched off while a thread of ours is inside, and as
before when the last one has left; a flag that somebody sets meanwhile stays as it was set.

Since torch 2.9 there are two sets of flags, and reading one of the older set raises if the newer set says
something else. Both are switched, the older one first, because it sets flags of the newer one too.
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
    """A flag of torch: where it stands, and its values that leave float32 in full, first the one to set."""

    holder: Any
    name: str
    full: tuple[Any, ...]

    def read(self) -> Any:
        """Its value; None if torch refuses to say it, because the two sets differ."""
        try:
            return getattr(self.holder, self.name)
        except RuntimeError:
            return None

    def is_full(self, value: Any) -> bool:
        """Whether this value allows no fewer bits, or nothing is known of it."""
        return value is None or value in self.full

    def switch_off(self) -> None:
        """Float32 is in full, as far as this flag has a say."""
        if not self.is_full(self.read()):
            setattr(self.holder, self.name, self.full[0])

    def restore(self, value: Any) -> None:
        """Has the value again, from the flag above it if that has the same."""
        if value is None or self.read() == value:
            return
        if INHERITED in self.full:
            setattr(self.holder, self.name, INHERITED)
        if self.read() != value:
            setattr(self.holder, self.name, value)


class _ProductsOfTorch:
    """The older flag of products, which is a pair of functions, as an attribute."""

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
    mkldnn: Any = backends.mkldnn  # torch's types do not name all that it has
    holders = (backends.cuda.matmul, backends.cudnn.conv, mkldnn.matmul, mkldnn.conv)
    return older + [_Flag(holder, "fp32_precision", ("ieee", INHERITED)) for holder in holders]


class _Switch:
    """The flags of the process, and how many are inside."""

    def __init__(self) -> None:
        self._flags = _flags()
        self._lock = threading.Lock()
        self._inside = 0
        self._before: dict[_Flag, Any] = {}
        self._left: dict[_Flag, Any] = {}  # as they were left when they were switched off

    def enter(self) -> None:
        """Switches off what is on, also what somebody has switched on since."""
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
        """The last one to leave restores what nobody else has set."""
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
    """No fewer bits than float32 has, in float32 products and convolutions of the whole process."""
    try:
        _switch.enter()
        yield
    finally:
        _switch.leave()
