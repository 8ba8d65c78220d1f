"""A stored object as a file that fetches only the bytes it is asked for, such as those of one column.

Every answer's etag is compared with the one that the object had when it was listed, so that no two versions
of a file are mixed.
"""

import io
from collections.abc import Iterable
from typing import Any

from pipeline.errors import Reason, StoreError
from pipeline.store.storage import Store, side_by_side

# Parquet readers start at the end: the footer of a shard fits into one request.
_TAIL = 64 << 10
# Less than this between two ranges costs less than a second request.
_GAP = 64 << 10

Range = tuple[int, int]  # from the first byte to the one after the last


class SeekableFile(io.RawIOBase):
    """A read-only file of `size` bytes with a position; a subclass reads the bytes."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size, self._position = size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position


class RangeFile(SeekableFile):
    """A read-only, seekable view of an object of `size` bytes, as it is at `etag`; of any version for "".

    What reads raises StoreError, SOURCE_CHANGED for another etag.
    """

    def __init__(self, store: Store, name: str, size: int, etag: str = "") -> None:
        super().__init__(size)
        self._store, self._name, self._etag = store, name, etag
        self._tail_start = max(0, size - _TAIL)
        self._tail: bytes | None = None
        self._fetched: dict[int, bytes] = {}  # by the first byte's place

    def fetch(self, ranges: Iterable[Range]) -> None:
        """Fetches the ranges side by side, near ones in one request, so that `read` finds them here."""
        before_the_tail = [one for one in ranges if one[0] < self._tail_start]
        wanted = _joined(before_the_tail)
        data = side_by_side(lambda one: self._stored(*one), wanted)
        self._fetched = {start: part for (start, _), part in zip(wanted, data, strict=True)}

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def read(self, size: int | None = -1) -> bytes:
        end = self._size if size is None or size < 0 else min(self._size, self._position + size)
        data = self._bytes(self._position, end)
        self._position += len(data)
        return data

    def _bytes(self, start: int, end: int) -> bytes:
        if start >= end:
            return b""
        for first, part in self._fetched.items():
            if first <= start and end <= first + len(part):
                return part[start - first : end - first]
        if start < self._tail_start:
            return self._stored(start, end)
        if self._tail is None:
            self._tail = self._stored(self._tail_start, self._size)
        return self._tail[start - self._tail_start : end - self._tail_start]

    def _stored(self, start: int, end: int) -> bytes:
        got = self._store.get_range(self._name, start, end)
        if end > start:  # else nothing was asked for
            refuse_changed(self._store.uri(self._name), self._etag, got.etag)
        return got.data


def refuse_changed(uri: str, listed: str, found: str) -> None:
    """Raises StoreError with SOURCE_CHANGED if a file has another etag than when it was listed."""
    if found != listed != "":
        raise StoreError(
            Reason.SOURCE_CHANGED,
            f"the etag of {uri} is {found} but was {listed} when it was listed; run again with --refresh",
        )


def _joined(ranges: Iterable[Range]) -> list[Range]:
    """The ranges in order, those with less than _GAP between them as one."""
    joined: list[Range] = []
    for start, end in sorted(ranges):
        if joined and start - joined[-1][1] < _GAP:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined
