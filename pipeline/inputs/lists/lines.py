"""A stored list as lines of bytes, in bounded memory; one in gzip is unpacked on the way."""

import gzip
import io
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from pipeline.errors import UsageError
from pipeline.store.objects import Entry
from pipeline.store.storage import Store
from pipeline.store.uri import redacted

CHUNK_BYTES = 8 << 20  # one request to a store; a connection that stalls loses no more than that
LONGEST_LINE = 16 << 20  # limits the memory for a file without line ends
GZIP = b"\x1f\x8b"


class Line(NamedTuple):
    """One line of text without its line end, counted from 1."""

    number: int
    text: str


def head_of(store: Store, file: Entry, size: int) -> bytes:
    """The first bytes of a list, unpacked. Raises: UsageError for a gzip that is broken, StoreError."""
    head = store.read_range(file.name, 0, size)
    if not head.startswith(GZIP):
        return head
    try:
        return zlib.decompressobj(wbits=31).decompress(head, size)
    except zlib.error as fault:
        place = redacted(store.uri(file.name))
        raise UsageError(f"{place} cannot be unpacked ({fault}); copy the list again") from fault


def lines_of(store: Store, file: Entry) -> Iterator[Line]:
    """The lines of a list, without a byte order mark at its start.

    Raises: UsageError for a line that is too long or not UTF-8, a gzip that is broken, and a list that
        changes meanwhile; StoreError.
    """
    place = redacted(store.uri(file.name))
    is_packed = store.read_range(file.name, 0, len(GZIP)) == GZIP
    stream: io.BufferedReader | gzip.GzipFile = io.BufferedReader(_Chunks(store, file), CHUNK_BYTES)
    if is_packed:
        stream = gzip.GzipFile(fileobj=stream)
    number = 0
    try:
        while line := stream.readline(LONGEST_LINE):
            number += 1
            if len(line) == LONGEST_LINE:
                raise UsageError(f"line {number:,} of {place} is longer than 16 MB; is it a list of images?")
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as fault:
                raise UsageError(
                    f"line {number:,} of {place} is not UTF-8; save the list as UTF-8, and write a path of "
                    "other bytes as file://localhost/photos/caf%E9.jpg"
                ) from fault
            yield Line(number, text.removesuffix("\n").removesuffix("\r"))
    except (gzip.BadGzipFile, EOFError, zlib.error) as fault:
        raise UsageError(
            f"{place} cannot be unpacked after line {number:,} ({fault}); copy the list again"
        ) from fault


class _Chunks(io.RawIOBase):
    """The bytes of an object from the first to the last, some megabytes at a time."""

    def __init__(self, store: Store, file: Entry) -> None:
        super().__init__()
        self._store, self._file, self._position = store, file, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        end = min(self._file.size, self._position + len(buffer))
        data = self._store.read_range(self._file.name, self._position, end) if end > self._position else b""
        if not data:
            refuse_change(self._store, self._file, self._position)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def refuse_change(store: Store, file: Entry, position: int) -> None:
    """Raises UsageError if a list has changed since its first `position` bytes were read."""
    now = store.info(file.name)
    if now is None or now.etag != file.etag or position < file.size:
        raise UsageError(
            f"{redacted(store.uri(file.name))} was changed while it was read; run again when it is complete"
        )
