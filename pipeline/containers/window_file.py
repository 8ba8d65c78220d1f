"""A stored file as a seekable file, for reading from front to back, with or without gaps.

If the reader skips little, the next megabytes are fetched ahead, in parallel: one window takes less time than
a request for each header in it. After a far skip only PEEK bytes are fetched. The etag of every answer is
compared with the listed one, so that no two versions of a file are mixed.
"""

from pipeline.errors import Reason, StoreError
from pipeline.store.objects import Entry
from pipeline.store.range_file import SeekableFile, refuse_changed
from pipeline.store.storage import Store, side_by_side

PIECE = 1 << 20  # bytes a request
AHEAD = 8  # pieces in a window, 8 MB in memory
# To read and skip more bytes takes longer than a new request: 20 ms at 25 MB/s a connection.
FAR = 512 << 10
PEEK = 4 << 10  # a header, and the headers of a long name before it


class WindowFile(SeekableFile):
    """A read-only view of `file` as it is at `file.etag`; of any version if that is ""."""

    def __init__(self, store: Store, file: Entry) -> None:
        super().__init__(file.size)
        self._store, self._file = store, file
        self._start, self._window = 0, b""

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        """Fills the buffer as far as the window reaches.

        Raises: StoreError, SOURCE_CHANGED for another etag.
        """
        if self._position >= self._file.size or not len(buffer):
            return 0
        if not self._start <= self._position < self._start + len(self._window):
            self._fill()
        skipped = self._position - self._start
        data = self._window[skipped : skipped + len(buffer)]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def read(self, size: int | None = -1) -> bytes:
        end = self._file.size if size is None or size < 0 else min(self._file.size, self._position + size)
        data = bytearray(max(0, end - self._position))
        view, filled = memoryview(data), 0
        while filled < len(data) and (count := self.readinto(view[filled:])):
            filled += count
        return bytes(view[:filled])

    def _fill(self) -> None:
        """A new window at the position: PEEK bytes at first and after a far skip, else the next pieces."""
        end = self._start + len(self._window)
        is_near = self._window and 0 <= self._position - end < FAR
        last = min(self._file.size, self._position + (AHEAD * PIECE if is_near else PEEK))
        starts = range(self._position, last, PIECE)
        self._start = self._position
        self._window = b"".join(
            side_by_side(lambda start: self._piece(start, min(last, start + PIECE)), starts)
        )

    def _piece(self, start: int, end: int) -> bytes:
        got = self._store.get_range(self._file.name, start, end)
        refuse_changed(self._store.uri(self._file.name), self._file.etag, got.etag)
        if len(got.data) != end - start:
            raise StoreError(
                Reason.SOURCE_CHANGED,
                f"{self._store.uri(self._file.name)} ends at byte {start + len(got.data)} but had "
                f"{self._file.size} bytes when it was listed; run again with --refresh",
            )
        return got.data
