"""The libraries that the build left in this folder. Does not import torch, so that commands start at once."""

import ctypes
import platform
import sys
from pathlib import Path

from sam_core.decoding.native import sources

NOT_BUILT = (
    "the CPU kernel is missing or was built from other sources; plain torch gives the same masks in three "
    "times the time, and installing sam-label again builds the kernel"
)


def opened(name: str) -> ctypes.CDLL | None:
    """The library of that name; None if it is missing, cannot be loaded or was built from other sources."""
    path = Path(__file__).with_name(name + (".dll" if sys.platform == "win32" else ".so"))
    try:
        library = ctypes.CDLL(str(path))
        return library if library.sam_sources() == sources.digest() else None
    # no such file, or another platform's; no such function in it
    except (OSError, AttributeError):
        return None


def is_missing() -> bool:
    """Whether this architecture should have a library but none can be used here."""
    names = sources.INSTRUCTION_SETS.get(platform.machine().lower(), {})
    return bool(names) and not any(map(opened, names))
