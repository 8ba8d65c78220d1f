"""The pages of a TIFF, by the chain of their tags alone: this reads a few bytes a page."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO

MOST_PAGES = 100_000
_SUBFILE_TYPE = 254
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType: a smaller copy of another page, or its mask
_MOST_ENTRIES = 65_535


@dataclass(frozen=True)
class Page:
    """Where the tags of a page stand, and whether it is an image of its own."""

    offset: int
    is_image: bool  # neither an overview nor a mask of another page


def pages(file: BinaryIO) -> Iterator[Page]:
    """The pages of a seekable file in order, as far as their chain is intact; MOST_PAGES at most."""
    file.seek(0)
    head = file.read(16)
    order, is_big = ("<" if head.startswith(b"II") else ">"), head[2:3] == b"+"
    count_code, number_code, entry_code = ("Q", "Q", "HHQQ") if is_big else ("H", "I", "HHII")
    number = struct.Struct(order + number_code)
    offset, seen = _number(head[8 if is_big else 4 :], number), set[int]()
    while offset and offset not in seen and len(seen) < MOST_PAGES:
        file.seek(offset)
        count = struct.Struct(order + count_code)
        entries = _number(file.read(count.size), count)
        if entries is None:
            return
        seen.add(offset)
        entry = struct.Struct(order + entry_code)
        table = file.read(entry.size * min(entries, _MOST_ENTRIES) + number.size)
        whole = table[: len(table) // entry.size * entry.size]
        subfile = 0
        for tag, _, _, value in islice(entry.iter_unpack(whole), entries):
            if tag == _SUBFILE_TYPE:
                # A number that is shorter than its field is at the beginning of the field.
                subfile = value if order == "<" or value < 1 << 16 else value >> 8 * (number.size - 4)
        yield Page(offset, not subfile & (_REDUCED | _MASK))
        offset = _number(table[entry.size * entries :], number)


def page_offset(file: BinaryIO, page: int) -> int | None:
    """Where the tags of a page stand, counted from 0; None if there is no such page."""
    found = next(islice(pages(file), page, None), None)
    return found.offset if found else None


def with_first_page(data: bytes, offset: int) -> bytes:
    """The file with the page at `offset` as its first."""
    order, is_big = ("<" if data.startswith(b"II") else ">"), data[2] == 43
    place, code = (8, "Q") if is_big else (4, "I")
    first = struct.pack(order + code, offset)
    return data[:place] + first + data[place + len(first) :]


def _number(data: bytes, code: struct.Struct) -> int | None:
    """The number that the bytes begin with; None if they are too few."""
    return int(code.unpack_from(data)[0]) if len(data) >= code.size else None
