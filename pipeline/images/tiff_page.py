"""Gives a TIFF a first page with other tags: they are appended to the file, whose bytes stay."""

import struct
from collections.abc import Mapping

_LONG, _UNDEFINED, _LONG8 = 4, 7, 16


def with_tags(data: bytes, tags: Mapping[int, tuple[int, ...] | bytes]) -> bytes:
    """The file with a first page of these tags alone, in its own byte order; BigTIFF if the file is one."""
    order, is_big = ("<" if data.startswith(b"II") else ">"), data[2] == 43
    count_code, number_code, number_type = ("Q", "Q", _LONG8) if is_big else ("H", "I", _LONG)
    entry_code, room = ("HHQ", 8) if is_big else ("HHI", 4)
    place = len(data) + len(data) % 2
    values_at = place + struct.calcsize(f"<{count_code}") + len(tags) * (4 + 2 * room) + room
    entries, values = b"", b""
    for tag, value in sorted(tags.items()):
        if isinstance(value, bytes):
            kind, encoded = _UNDEFINED, value
        else:
            kind, encoded = number_type, struct.pack(f"{order}{len(value)}{number_code}", *value)
        entries += struct.pack(f"{order}{entry_code}", tag, kind, len(value))
        if len(encoded) > room:
            entries += struct.pack(f"{order}{number_code}", values_at + len(values))
            values += encoded + b"\0" * (len(encoded) % 2)
        else:
            entries += encoded.ljust(room, b"\0")
    head = data[: 8 if is_big else 4] + struct.pack(f"{order}{number_code}", place)
    directory = struct.pack(f"{order}{count_code}", len(tags)) + entries + bytes(room) + values
    return head + data[len(head) :] + bytes(place - len(data)) + directory
