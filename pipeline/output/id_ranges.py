"""Sorts image ids into files by range, so that sets of any size are compared in the memory of one range.

Ids are hashes, so their first bytes spread them evenly over the ranges. The ids of each kind (rows, listed,
done) are written to a file for each range on the local disk. An id is in the same range in every kind.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.output.ids import Ids
from pipeline.store.local_disk import local_disk

IDS_IN_A_RANGE = 1 << 17  # 2 MB: a search among them stays in a core's cache
MOST_RANGES = 1 << 16  # two bytes of an id: 8 billion images before a range grows
HELD_BYTES = 1 << 20  # of a kind, before they are written, which opens the file of every range

_FAILS = "the ids of images cannot be sorted"
_ID = [("id", "S16")]
_PLACED = [*_ID, ("place", "<i8")]


class RangedIds:
    """Ids of one kind; the place of an id is the number of ids added before it."""

    def __init__(self, folder: Path, ranges: int, record: np.dtype[np.void]) -> None:
        self.size = 0
        self._folder, self._prefixes_in_one, self._record = folder, MOST_RANGES // ranges, record
        self._held = bytearray()

    def add(self, ids: Ids) -> None:
        """Adds ids, in any order. Raises: SamLabelError if the local disk is full."""
        self._add(ids.view(np.uint8).data)

    def add_one(self, image_id: str) -> None:
        """Adds an id of 32 hex characters. Raises: as `add`."""
        self._add(bytes.fromhex(image_id))

    def of(self, number: int) -> NDArray[np.void]:
        """The ids of a range as fields `id` and, if they have places, `place`, in the order of adding."""
        self._deal()
        path = self._path(number)
        with local_disk(_FAILS):
            return np.frombuffer(path.read_bytes() if path.exists() else b"", self._record)

    def _add(self, packed: bytes | memoryview) -> None:
        self._held += packed
        self.size += len(packed) // 16
        if len(self._held) >= HELD_BYTES:
            self._deal()

    def _deal(self) -> None:
        if not self._held:
            return
        ids = np.frombuffer(self._held, "S16")
        self._held = bytearray()
        records = np.empty(ids.size, self._record)
        records["id"] = ids
        if "place" in (self._record.names or ()):
            records["place"] = np.arange(self.size - ids.size, self.size)
        first_bytes = ids.view(">u2").reshape(-1, 8)[:, 0].astype(int)
        range_of = (first_bytes // self._prefixes_in_one).astype(np.uint16)
        order = np.argsort(range_of, kind="stable")
        numbers, starts = np.unique(range_of[order], return_index=True)
        for number, of_one in zip(numbers.tolist(), np.split(records[order], starts[1:]), strict=True):
            with local_disk(_FAILS), self._path(number).open("ab") as file:
                file.write(of_one.tobytes())

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:05d}"


@dataclass(frozen=True)
class IdRanges:
    """The ranges of several kinds of ids, numbered from 0 to `count` - 1."""

    folder: Path
    count: int

    def of_kind(self, kind: str, has_places: bool = True) -> RangedIds:
        """Storage for ids of a new kind: 24 bytes of disk each, 16 without places."""
        folder = self.folder / kind
        with local_disk(_FAILS):
            folder.mkdir()
        return RangedIds(folder, self.count, np.dtype(_PLACED if has_places else _ID))


@contextmanager
def id_ranges(images: int) -> Iterator[IdRanges]:
    """Ranges for about `images` ids of each kind, until the end of the block.

    Raises: SamLabelError if there is no room on the local disk.
    """
    count = 1
    while count < MOST_RANGES and count * IDS_IN_A_RANGE < images:
        count *= 2
    with local_disk(_FAILS):
        folder = tempfile.TemporaryDirectory(prefix="sam-label-")
    with folder:
        yield IdRanges(Path(folder.name), count)
