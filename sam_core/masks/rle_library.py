"""The C library for run lengths: what it is built from, and where it is.

Imports only the standard library, because setup.py uses this file to build it.
"""

import ctypes
import functools
from ctypes import POINTER, c_char_p, c_int64, c_void_p
from pathlib import Path

from sam_core import built_library

SOURCES = [Path(__file__).with_name(name) for name in ("rle_kernel.c", "rle_encoding.c")]
FLAGS = ("-std=c11", "-O3", "-shared", "-fPIC")
# the oldest CPU of each architecture: the work is limited by memory, so wider vectors gain nothing
TARGET_CPUS = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "generic", "arm64": "generic"}


class Window(ctypes.Structure):
    """Window of rle_kernel.c: an image's size, and the requested part of it."""

    _fields_ = tuple((name, ctypes.c_int32) for name in ("height", "width", "x0", "y0", "x1", "y1"))


class Cells(ctypes.Structure):
    """Cells of rle_kernel.c: an image's size, and the grid of cells that it is reduced to."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("height", "width", "cell_rows", "cell_columns")),
        *((name, ctypes.c_void_p) for name in ("cell_of_row", "first_row", "cell_of_column", "first_column")),
    )


class Grid(ctypes.Structure):
    """Grid of rle_kernel.c: an image's size, and the cells that lie over a part of it."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("height", "width", "x0", "y0", "x1", "y1")),
        *((name, ctypes.c_int32) for name in ("cell_rows", "cell_columns")),
        *((name, ctypes.c_double) for name in ("cells_a_row", "cells_a_column")),
    )


# what each function returns, then its arguments; an array is passed by its address
_COUNTS = (c_char_p, c_void_p)  # of all masks, and where each mask's begin
FUNCTIONS = {
    "rle_unsound": (c_int64, *_COUNTS, c_int64, c_int64),
    "rle_measures": (c_int64, *_COUNTS, c_int64, c_void_p, c_void_p),
    "rle_masks": (c_int64, *_COUNTS, c_int64, POINTER(Window), c_void_p, c_int64, c_int64, c_void_p),
    "rle_labels": (c_int64, *_COUNTS, c_void_p, c_int64, POINTER(Window), c_void_p, c_int64, c_void_p),
    "rle_reduced": (c_int64, *_COUNTS, c_int64, POINTER(Cells), c_void_p, c_int64, c_int64, c_void_p),
    "rle_covered": (c_int64, *_COUNTS, c_int64, POINTER(Grid), c_void_p),
    "rle_counts": (None, c_void_p, c_void_p, c_int64, c_int64, c_void_p, c_void_p),
}


def build_flags(machine: str) -> list[str] | None:
    """The compiler's flags for this kind of machine (`x86_64`); None if the library is not built for it."""
    cpu = TARGET_CPUS.get(machine)
    return [*FLAGS, f"-mcpu={cpu}", f"-DRLE_SOURCES={digest()}"] if cpu else None


def digest() -> int:
    """A number of 31 bits that changes with the sources or the flags."""
    return built_library.digest(SOURCES, (FLAGS, TARGET_CPUS))


@functools.cache
def library() -> ctypes.CDLL | None:
    """The library; None if it was not built here, cannot be loaded, or was built from other sources."""
    loaded = built_library.opened(SOURCES[0], "rle_sources", digest())
    if loaded is None:
        return None
    for name, (result, *arguments) in FUNCTIONS.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded
