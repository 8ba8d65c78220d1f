"""The libraries that the build left in this folder. Does not import torch, so that commands start at once."""

import ctypes
import platform
from pathlib import Path

from sam_core import built_library
from sam_core.decoding.native import sources

NOT_BUILT = (
    "the CPU kernel is missing or out of date, so plain torch makes the same masks, three times slower; "
    "reinstall sam-label to build it"
)


def opened(name: str) -> ctypes.CDLL | None:
    """The library of that name; None if it is missing, cannot be loaded or was built from other sources."""
    return built_library.opened(Path(__file__).with_name(name), "sam_sources", sources.digest())


def is_missing() -> bool:
    """Whether this architecture should have a library but none can be used here."""
    names = sources.INSTRUCTION_SETS.get(platform.machine().lower(), {})
    return bool(names) and not any(map(opened, names))
