"""The members of a tar, header by header, without their bytes; a broken header does not end the listing.

Python's `tarfile` reads the headers (GNU long names, pax, sparse files). Where it stops at a broken header,
we go on at the next block that has a header's magic word and a right checksum.
"""

import io
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from tarfile import BLOCKSIZE, HeaderError, TarFile, TarInfo
from typing import IO

# A longer name or pax header counts as broken: it would be held in memory.
LONGEST_HEADER = 1 << 20
_MAGIC = slice(257, 262)
_SCANNED = 1 << 20  # bytes looked through at once for the next header


@dataclass(frozen=True)
class Member:
    """A regular file in a tar; `offset` is where its bytes start."""

    name: str
    offset: int
    size: int


@dataclass(frozen=True)
class NotAFile:
    """A member without bytes of its own (a link, a device) or with holes (a sparse file)."""

    name: str


@dataclass(frozen=True)
class Damage:
    """A place in a tar where members may be lost."""

    why: str


Found = Member | NotAFile | Damage


class Unreadable(Exception):
    """The file cannot be read further; the message says why."""


def members(file: IO[bytes], end: int, is_size: bool = True) -> Iterator[Found]:
    """What a tar holds, in its order.

    `end` is the file's size; or, without `is_size`, how many bytes of an unpacked stream are read at most,
    since its size is not known before. The file is only read forward. Raises: StoreError.
    """
    start: int | None = 0
    while start is not None:
        try:
            start = yield from _sound_members(file, start, end, is_size)
        except Unreadable as fault:
            yield Damage(str(fault))
            return


def _sound_members(
    file: IO[bytes], start: int, end: int, is_size: bool
) -> Generator[Found, None, int | None]:
    """The members from `start` up to the end or a broken header; returns where the next header is."""
    # The constructor gets an empty archive, since it would read the first member.
    tar = TarFile(fileobj=io.BytesIO(bytes(2 * BLOCKSIZE)), errors="backslashreplace")
    tar.fileobj = headers = _Headers(file)
    tar.offset = start
    while True:
        here = tar.offset
        if here > end:
            raise Unreadable(
                f"it ends within a member, at byte {end}"
                if is_size
                else f"it would unpack to more than {end} bytes, far more than images do"
            )
        forward(file, here)
        block = headers.peek()
        if not block:
            if here == 0:
                yield Damage("it is empty")
            return None
        if not block.strip(b"\0"):
            return _next_header(file, here + BLOCKSIZE)  # another archive may be appended
        try:
            info = TarInfo.fromtarfile(tar)
            if tar.offset <= here:
                raise HeaderError("its size is negative")
        except (HeaderError, ValueError, OverflowError, RecursionError) as fault:
            found = _next_header(file, max(here + BLOCKSIZE, file.tell()))
            goes_on = "nothing readable follows" if found is None else f"reading continues at byte {found}"
            yield Damage(f"the header at byte {here} is broken ({fault}); {goes_on}")
            return found
        if is_size and info.isreg() and info.offset_data + info.size > end:
            raise Unreadable(f"it ends within the member {info.name}, at byte {end}")
        if info.isreg() and not info.issparse():
            yield Member(info.name, info.offset_data, info.size)
        elif not info.isdir():
            yield NotAFile(info.name)


class _Headers(io.RawIOBase):
    """The file for `tarfile`, which may read LONGEST_HEADER bytes at once and no more."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file = file
        self._peeked = b""

    def peek(self) -> bytes:
        """The next block, which `read` returns again, since a decompressor cannot go back."""
        self._peeked = unpacked(self._file, BLOCKSIZE)
        return self._peeked

    def tell(self) -> int:
        return self._file.tell() - len(self._peeked)

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= LONGEST_HEADER:
            raise HeaderError(f"a name or a pax header of {size} bytes")
        start, self._peeked = self._peeked[:size], self._peeked[size:]
        return start + unpacked(self._file, size - len(start))


def unpacked(file: IO[bytes], size: int) -> bytes:
    """The next bytes, fewer at the end of the file. Raises: Unreadable if they cannot be decompressed."""
    try:
        return file.read(size)
    except (EOFError, zlib.error, OSError) as fault:
        raise Unreadable(f"it cannot be decompressed: {fault}") from fault


def forward(file: IO[bytes], position: int) -> None:
    """Moves to a byte. Raises: Unreadable if the file ends before it, or cannot be decompressed up to it."""
    try:
        reached = file.seek(position)
    except (EOFError, zlib.error, OSError) as fault:
        raise Unreadable(f"it cannot be decompressed: {fault}") from fault
    if reached < position:
        raise Unreadable(f"it ends within a member, at byte {reached}")


def _next_header(file: IO[bytes], position: int) -> int | None:
    """Where the next intact header is, in blocks from `position` on; None if there is none."""
    file.seek(position)
    while blocks := unpacked(file, _SCANNED):
        for start in range(0, len(blocks) - BLOCKSIZE + 1, BLOCKSIZE):
            if _is_header(blocks[start : start + BLOCKSIZE]):
                return position + start
        position += len(blocks)
    return None


def _is_header(block: bytes) -> bool:
    """Whether the block has the magic word and its own checksum."""
    if block[_MAGIC] != b"ustar":
        return False
    try:
        TarInfo.frombuf(block, "utf-8", "backslashreplace")
    except HeaderError:
        return False
    return True
