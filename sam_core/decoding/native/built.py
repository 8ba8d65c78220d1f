"""The libraries that the build has left here. Needs no torch, so that a command can ask without it."""

import ctypes
import platform
import sys
from pathlib import Path

from sam_core.decoding.native import sources

NOT_BUILT = (
    "the CPU kernel was not built here, or from other sources; plain torch gives the same masks in three "
    "times the time. Installing sam-label again builds it"
)


def opened(name: str) -> ctypes.CDLL | None:
    """The library of that name; None where it was not built, cannot be loaded, or has other sources."""
    path = Path(__file__).with_name(name + (".dll" if sys.platform == "win32" else ".so"))
    try:
        library = ctypes.CDLL(str(path))
        return library if library.sam_sources() == sources.digest() else None
    except (OSError, AttributeError):  # no such file, or another platform's; no such function
        return None


def is_missing() -> bool:
    """Whether this kind of machine could have a library and has none."""
    names = sources.INSTRUCTION_SETS.get(platform.machine().lower(), {})
    return bool(names) and not any(map(opened, names))
