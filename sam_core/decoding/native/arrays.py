"""The one place where an array becomes a pointer for the C kernel.

C reads whatever lies at an address. Each pointer therefore has a description, and an array that does not
match it raises an error before its address is taken: torch.autocast, another default dtype or a slice would
otherwise make C read other numbers, or past the end.
"""

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch


@dataclass(frozen=True)
class Array:
    """What lies behind one pointer: a C-contiguous array in the CPU's memory."""

    dtype: str
    shape: tuple[int | str, ...]  # a name is a length that the arrays of one call share


def floats(*shape: int | str) -> Array:
    """Single-precision numbers, which are nearly all that the kernel reads and writes."""
    return Array("float32", shape)


def address(
    name: str, array: torch.Tensor | np.ndarray, expected: Array, lengths: Mapping[str, int] | None = None
) -> int:
    """The array's address. The caller keeps the array alive.

    Raises: ValueError if the array is not as described, before anything is read.
    """
    named = lengths or {}
    shape = tuple(named[length] if isinstance(length, str) else length for length in expected.shape)
    if isinstance(array, torch.Tensor):
        is_typed = array.dtype == getattr(torch, expected.dtype) and array.device.type == "cpu"
        if is_typed and array.shape == shape and array.is_contiguous():
            return array.data_ptr()
    elif array.dtype == np.dtype(expected.dtype) and array.shape == shape and array.flags.c_contiguous:
        return array.ctypes.data
    raise ValueError(
        f"the CPU kernel needs {name!r} as contiguous {expected.dtype} {list(shape)} on the CPU, got "
        f"{_described(array)}; call it with float32 as torch's default dtype and outside torch.autocast"
    )


def _described(array: torch.Tensor | np.ndarray) -> str:
    if isinstance(array, torch.Tensor):
        is_contiguous, device = array.is_contiguous(), array.device.type
    else:
        is_contiguous, device = array.flags.c_contiguous, "cpu"
    dtype = str(array.dtype).removeprefix("torch.")
    return f"{'' if is_contiguous else 'non-'}contiguous {dtype} {list(array.shape)} on {device}"


# fields in the order of kernel.h: each a type of ctypes, or the Array behind a pointer
Layout = Mapping[str, Any]


class KernelStruct(ctypes.Structure):
    """A struct of kernel.h whose pointers are described; it keeps the arrays behind them alive."""

    layout: ClassVar[Layout]

    @classmethod
    def filled(cls, lengths: Mapping[str, int] | None = None, /, **values: Any) -> Self:
        """The struct with these fields; its integer fields are also named lengths for its arrays.

        Raises: ValueError if an array is missing or not as described.
        """
        missing = [
            name for name, field in cls.layout.items() if isinstance(field, Array) and name not in values
        ]
        if missing:
            raise ValueError(f"{cls.__name__} needs the arrays {', '.join(missing)}")
        numbers = {name: value for name, value in values.items() if isinstance(value, int)}
        lengths = numbers | dict(lengths or {})
        fields = {}
        for name, value in values.items():
            field = cls.layout[name]
            fields[name] = address(name, value, field, lengths) if isinstance(field, Array) else value
        struct = cls(**fields)
        struct.arrays = values
        return struct


def fields_of(layout: Layout) -> list[tuple[str, Any]]:
    """The `_fields_` of a KernelStruct."""
    return [(name, ctypes.c_void_p if isinstance(f, Array) else f) for name, f in layout.items()]
