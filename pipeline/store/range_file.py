"""A stored object as a file that fetches only the bytes it is asked for: one column costs one column."""

import io

from pipeline.store.storage import Store

# Parquet readers start at the end: the footer of a shard fits into one request.
_TAIL = 64 << 10


class RangeFile(io.RawIOBase):
    """A read-only, seekable view of an object of `size` bytes."""

    def __init__(self, store: Store, name: str, size: int) -> None:
        super().__init__()
        self._store, self._name, self._size = store, name, size
        self._position = 0
        self._tail_start = max(0, size - _TAIL)
        self._tail: bytes | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = start + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        end = self._size if size is None or size < 0 else min(self._size, self._position + size)
        data = self._bytes(self._position, end)
        self._position += len(data)
        return data

    def _bytes(self, start: int, end: int) -> bytes:
        if start >= end:
            return b""
        if start < self._tail_start:
            return self._store.read_range(self._name, start, end)
        if self._tail is None:
            self._tail = self._store.read_range(self._name, self._tail_start, self._size)
        return self._tail[start - self._tail_start : end - self._tail_start]
