"""Where kernels run: on a GPU, tuned for its kind, or, in tests, interpreted on the CPU."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from functools import cache

import torch

INTERPRETED = os.environ.get("TRITON_INTERPRET", "0") == "1"


class Kind(Enum):
    """How a card's tensor cores read their operands, which limits how large a program may be."""

    WARPS = "from registers, each warp for itself"  # 8.0, 8.6, 8.9, 12.0
    WARP_GROUPS = "from shared memory"  # 9.0, 10.0, 10.3


_rehearsed = Kind.WARP_GROUPS


def kind_of(device: torch.device) -> Kind:
    """The kind of the device's card; for other devices, the kind that kernels are compiled for."""
    return _kind(torch.cuda.get_device_capability(device)) if device.type == "cuda" else _rehearsed


@contextmanager
def rehearsed(capability: tuple[int, int]) -> Iterator[None]:
    """Meanwhile kernels are compiled for a card of this capability, which need not be present."""
    global _rehearsed
    before, _rehearsed = _rehearsed, _kind(capability)
    try:
        yield
    finally:
        _rehearsed = before


@cache
def _kind(capability: tuple[int, int]) -> Kind:
    return Kind.WARP_GROUPS if capability[0] in (9, 10) else Kind.WARPS
