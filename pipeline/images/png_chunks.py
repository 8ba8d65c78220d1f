"""A PNG without what its pixels do not need: damaged or outsized metadata must not cost the image."""

import zlib
from collections.abc import Iterator

SIGNATURE_BYTES = 8
# Frames are counted and orientation is applied; other ancillary chunks change no pixel of ours.
_KEPT = frozenset({b"acTL", b"fcTL", b"fdAT", b"eXIf"})


def bare_png(data: bytes) -> bytes:
    """The file with all of its critical chunks, as they are, and of the others the sound ones we need."""
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
