"""Removes from a PNG what its pixels do not need: damaged or huge metadata must not fail the image."""

import zlib
from collections.abc import Iterator

SIGNATURE_BYTES = 8
# For counting frames and applying the orientation; other ancillary chunks do not change our pixels.
_KEPT = frozenset({b"acTL", b"fcTL", b"fdAT", b"eXIf"})


def bare_png(data: bytes) -> bytes:
    """The file with all critical chunks as they are, and of the others the intact ones that we need."""
    kept = [data[:SIGNATURE_BYTES]]
    for name, chunk in _chunks(data):
        is_critical = not name[:1].islower()
        if is_critical or (name in _KEPT and _is_sound(chunk)):
            kept.append(chunk)
    return b"".join(kept)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each chunk's name and the whole of it; the last may be cut off."""
    start = SIGNATURE_BYTES
    while start < len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        yield data[start + 4 : start + 8], data[start:end]
        start = end


def _is_sound(chunk: bytes) -> bool:
    return len(chunk) >= 12 and zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")
