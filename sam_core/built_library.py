"""Opens the C libraries that the build left beside their sources. Imports only the standard library."""

import ctypes
import sys
import zlib
from collections.abc import Iterable
from pathlib import Path


def digest(files: Iterable[Path], flags: object) -> int:
    """A number of 31 bits that changes with any of the files, or with the repr of the flags.

    setup.py compiles it into a library.
    """
    checksum = zlib.crc32(repr(flags).encode())
    for file in files:
        checksum = zlib.crc32(file.read_bytes(), checksum)
    return checksum & 0x7FFFFFFF


def opened(path: Path, symbol: str, digest: int) -> ctypes.CDLL | None:
    """The library at a path without its suffix; None if it cannot be used here.

    It can if it is there, was built for this platform, and its function `symbol` returns the digest.
    """
    try:
        library = ctypes.CDLL(str(path.with_suffix(".dll" if sys.platform == "win32" else ".so")))
        return library if getattr(library, symbol)() == digest else None
    except (OSError, AttributeError):  # no such file, or another platform's; no such function
        return None
