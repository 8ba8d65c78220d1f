"""Which lines of a list have equal names: found by their hashes, in bounded memory, through files on disk.

Some bits of a hash choose its file, so that equal hashes meet in one; then each file is sorted on its own.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.store.local_disk import local_disk

_HASHED_LINE = np.dtype([("high", "<u8"), ("low", "<u8"), ("line", "<u8")])
FILES = 64  # 100 million lines make files of 38 MB
LINES_AT_ONCE = 100_000  # 2.4 MB


class Repeats:
    """Lines by the hash of their names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._buffer = bytearray()

    def add(self, digest: bytes, line: int) -> None:
        """Adds a line by the 16-byte hash of its name. Raises: SamLabelError for a full disk."""
        self._buffer += digest
        self._buffer += line.to_bytes(8, "little")
        if len(self._buffer) >= LINES_AT_ONCE * _HASHED_LINE.itemsize:
            self._deal()

    def found(self) -> Iterator[tuple[int, int]]:
        """Pairs of lines: the first one with a name, and each later one with it; pairs come in no order."""
        if not any(self._folder.iterdir()):
            yield from _repeats(self._buffered())
            return
        self._deal()
        for file in self._folder.iterdir():
            yield from _repeats(np.fromfile(file, _HASHED_LINE))

    def _buffered(self) -> NDArray[np.void]:
        return np.frombuffer(bytes(self._buffer), _HASHED_LINE)

    def _deal(self) -> None:
        lines = self._buffered()
        of_file = lines["high"] % FILES
        order = np.argsort(of_file, kind="stable")
        parts = np.split(lines[order], np.cumsum(np.bincount(of_file, minlength=FILES))[:-1])
        with local_disk("the list cannot be searched for repeats"):
            for number, part in enumerate(parts):
                with (self._folder / f"{number:02d}").open("ab") as file:
                    file.write(part.tobytes())
        self._buffer.clear()


def _repeats(lines: NDArray[np.void]) -> Iterator[tuple[int, int]]:
    lines = lines[np.lexsort((lines["line"], lines["low"], lines["high"]))]
    is_new = np.ones(len(lines), bool)
    is_new[1:] = (lines["high"][1:] != lines["high"][:-1]) | (lines["low"][1:] != lines["low"][:-1])
    firsts = lines["line"][np.maximum.accumulate(np.where(is_new, np.arange(len(lines)), 0))]
    yield from zip(firsts[~is_new].tolist(), lines["line"][~is_new].tolist(), strict=True)
