"""How many independent images a HEIC holds, read from its table of items.

Tiles of a larger image are marked as hidden; thumbnails, depth and alpha refer to their image. None of these
count.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO

_MOST_TABLE_BYTES = 1 << 20  # libheif takes a thousand items, of some fifty bytes each
_IMAGES = frozenset(
    {b"hvc1", b"grid", b"iden", b"iovl", b"av01", b"avc1", b"vvc1", b"j2k1", b"jpeg", b"unci", b"tili"}
)
_PARTS_OF_OTHERS = frozenset({b"thmb", b"auxl"})


def heic_images(file: BinaryIO, end: int) -> int:
    """The number of images in a file of `end` bytes; 0 if it has no table.

    Raises: struct.error or IndexError for a damaged one.
    """
    place = 0
    while place + 8 <= end:
        file.seek(place)
        size, name = struct.unpack(">I4s", file.read(8))
        if name == b"meta":
            return _in_table(file.read(min(size - 8, _MOST_TABLE_BYTES))[4:])
        if size < 8:  # a box to the end of the file, or one of more than 4 GB
            break
        place += size
    return 0


def _in_table(table: bytes) -> int:
    boxes = dict(_boxes(table))
    items, references = boxes.get(b"iinf", b""), boxes.get(b"iref", b"")
    found = set(_shown_images(items[6 if items[:1] == b"\0" else 8 :]))
    return len(found - set(_parts(references)))


def _shown_images(items: bytes) -> Iterator[int]:
    for _, body in _boxes(items):
        is_hidden, number = body[3] & 1, ">H" if body[0] < 3 else ">I"
        kind = 4 + struct.calcsize(number) + 2
        if body[kind : kind + 4] in _IMAGES and not is_hidden:
            yield struct.unpack_from(number, body, 4)[0]


def _parts(references: bytes) -> Iterator[int]:
    number = ">H" if references[:1] == b"\0" else ">I"
    for name, body in _boxes(references[4:]):
        if name in _PARTS_OF_OTHERS:
            yield struct.unpack_from(number, body)[0]


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 0
    while place + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, place)
        if size < 8:
            return
        yield name, data[place + 8 : place + size]
        place += size
