"""Marks on the rows of many parts, a bit a row in memory."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray


class Marks:
    """Marks on rows, none at first; `sizes` are the rows of each part: a shard, or a part of a manifest."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self._starts = np.cumsum([0, *sizes])
        self._bits = np.zeros((int(self._starts[-1]) + 7) // 8, np.uint8)

    def set(self, places: NDArray[np.int64]) -> None:
        """Marks rows by their places: a row's place is the number of rows before it, in all parts."""
        np.bitwise_or.at(self._bits, places >> 3, np.left_shift(1, places & 7).astype(np.uint8))

    def of(self, part: int) -> NDArray[np.bool_]:
        """For each row of a part, whether it is marked."""
        start, end = self._starts[part : part + 2].tolist()
        of_bytes = self._bits[start // 8 : (end + 7) // 8]
        bits = np.unpackbits(of_bytes, bitorder="little")[start % 8 :]
        return bits[: end - start].astype(bool)

    def __iter__(self) -> Iterator[NDArray[np.bool_]]:
        """The parts in order, each as `of` gives it."""
        return map(self.of, range(self._starts.size - 1))
