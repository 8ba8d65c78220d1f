"""Tells JPEGs that lack nothing but their end marker from truncated ones.

If every pixel is there, the bytes behind the last scan do not matter: the decoder stops before them. If
pixels are missing, the decoder reads those bytes as pixels. So the file is decoded with several tails: it is
complete if all of them give the same pixels. The headers show whether a whole scan is missing.
"""

import io
import re
from hashlib import blake2b

from PIL import Image

END = b"\xff\xd9"
# Each is long enough to change the pixels of any image that reads it. Each gets all restart markers, since a
# decoder that waits for one skips everything else.
_JUNK = (b"\xaa" * 64, b"\x55" * 64, b"\x1c\xe3\x70\x8f" * 16)
TAILS = (
    b"",
    *(junk + b"".join(bytes((0xFF, 0xD0 + number)) + junk for number in range(8)) for junk in _JUNK),
)
SHORTEST_PADDING = 16  # equal bytes in a row: no encoder ends a scan like this

_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_SOF = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_SOS = 0xDA
_COEFFICIENTS = 64


def lacks_end(data: bytes) -> bool:
    """Whether no end marker follows the first scan's header; the data of a scan never contain one."""
    start = 2
    while (marker := _MARKER.search(data, start)) and marker.end() + 2 <= len(data):
        if data[marker.end() - 1] == _SOS:
            return END not in data[marker.end() :]
        start = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    return False


def ended_jpeg(data: bytes) -> bytes | None:
    """The file with an end marker behind its last scan; None if it is truncated or cannot be decoded."""
    scans = _whole_scans(data)
    if scans is None:
        return None
    scans = _without_padding(scans)
    digests = set()
    for tail in TAILS:
        try:
            pixels = Image.open(io.BytesIO(scans + tail + END), formats=["JPEG"]).tobytes()
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001  # Pillow raises anything, and then an end marker does not help
            return None
        digests.add(blake2b(pixels).digest())
    return scans + END if len(digests) == 1 else None


def _whole_scans(data: bytes) -> bytes | None:
    """The file up to the end of the scan that completes all components; None if none does."""
    missing: dict[int, set[int]] = {}  # by component: coefficients whose last bit has not come
    start = 2
    while (marker := _MARKER.search(data, start)) and marker.end() + 2 <= len(data):
        kind, body = data[marker.end() - 1], marker.end() + 2
        start = marker.end() + int.from_bytes(data[marker.end() : body], "big")
        segment = data[body:start]
        if kind in _SOF and len(segment) >= 6 + 3 * segment[5]:
            missing = {segment[6 + 3 * place]: set(range(_COEFFICIENTS)) for place in range(segment[5])}
        elif kind == _SOS and segment and len(segment) >= 4 + 2 * segment[0]:
            first, last, approximation = segment[-3:]
            for place in range(segment[0]):
                if approximation & 15 == 0:
                    missing.get(segment[1 + 2 * place], set()).difference_update(range(first, last + 1))
            if missing and not any(missing.values()):
                end = _MARKER.search(data, start)
                return data[: end.start()] if end else data
    return None


def _without_padding(scans: bytes) -> bytes:
    """The scans without padding (one repeated byte) at their end; the 0 of a stuffed FF stays."""
    stripped = scans.rstrip(scans[-1:])
    if len(scans) - len(stripped) < SHORTEST_PADDING:
        return scans
    return stripped + b"\0" if stripped.endswith(b"\xff") else stripped
