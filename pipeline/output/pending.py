"""Which images of a manifest have no row yet, in memory that hardly grows with their number: a bit an image.

Ids are hashes and fall evenly into ranges by their first bytes. Those that have a row, and those of the
manifest with their places, are gathered by range in files on the local disk (40 bytes an image), and range
after range is compared in memory.
"""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.errors import SamLabelError
from pipeline.output.format.manifest import read_manifest
from pipeline.output.ids import Ids, is_among, packed_ids
from pipeline.store.storage import Store, side_by_side

IDS_IN_A_RANGE = 1 << 17  # 2 MB: a search among them stays in a core's cache
MOST_RANGES = 1 << 16  # two bytes of an id: 8 billion images before a range grows
PARTS_AT_ONCE = 8  # read side by side: 400,000 ids, 6 MB of them and 50 as text

_LISTED = np.dtype([("id", "S16"), ("place", "<i8")])
Bits = NDArray[np.uint8]


@dataclass(frozen=True)
class PendingPart:
    """A part of the manifest that names images without a row."""

    name: str
    done: bytes = b""  # a bit for each of its rows, the lowest first; none if none of them has a row

    def tables(self, store: Store) -> Iterator[pa.Table]:
        """The rows of its images that are still to be labelled. Raises: DamagedFile."""
        for table in read_manifest(store, [self.name]):
            if not self.done:
                yield table
                continue
            is_done = _unpacked(np.frombuffer(self.done, np.uint8), table.num_rows)
            yield table.filter(pa.array(~is_done))


def pending_parts(store: Store, parts: Sequence[str], images: int, done: Iterable[Ids]) -> list[PendingPart]:
    """The parts of a manifest of `images` that name others than the done ones, whose ids come in any order.

    Raises: DamagedFile. SamLabelError if the local disk is full.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="sam-label-") as folder:
            ranges = _Ranges(Path(folder), images)
            for ids in done:
                ranges.add("done", ids, ids)
            if not ranges.used:
                return [PendingPart(part) for part in parts]
            sizes: list[int] = []
            for start in range(0, len(parts), PARTS_AT_ONCE):
                _add_listed(ranges, store, parts[start : start + PARTS_AT_ONCE], sizes)
            bits = np.zeros(sum(map(_bytes_of, sizes)), np.uint8)
            for number in ranges.used:
                _set_done(bits, ranges.read("listed", number, _LISTED), ranges.read("done", number, "S16"))
            return list(_with_something_left(parts, sizes, bits))
    except OSError as fault:
        raise SamLabelError(
            f"the ids of what is done cannot be sorted in {tempfile.gettempdir()}: {fault.strerror}; set "
            "TMPDIR to a folder on a disk with room"
        ) from fault


class _Ranges:
    """Records by the range of their ids, in files."""

    def __init__(self, folder: Path, images: int) -> None:
        count = 1
        while count < MOST_RANGES and count * IDS_IN_A_RANGE < images:
            count *= 2
        self._folder, self._prefixes_in_one = folder, MOST_RANGES // count
        self.used: set[int] = set()  # ranges that hold done ids

    def add(self, kind: str, ids: Ids, records: NDArray[np.void] | Ids) -> None:
        """Puts each record into the range of its id."""
        if not ids.size:
            return
        first_bytes = ids.view(np.uint8).reshape(-1, 16)[:, :2].astype(int)
        range_of = (256 * first_bytes[:, 0] + first_bytes[:, 1]) // self._prefixes_in_one
        order = np.argsort(range_of, kind="stable")
        numbers, starts = np.unique(range_of[order], return_index=True)
        for number, of_one in zip(numbers.tolist(), np.split(records[order], starts[1:]), strict=True):
            if kind == "done":
                self.used.add(number)
            with self._path(kind, number).open("ab") as file:
                file.write(of_one.tobytes())

    def read(self, kind: str, number: int, dtype: np.dtype[np.void] | str) -> NDArray[Any]:
        """The records of a range, in no order; none if there is none."""
        path = self._path(kind, number)
        return np.frombuffer(path.read_bytes() if path.exists() else b"", dtype)

    def _path(self, kind: str, number: int) -> Path:
        return self._folder / f"{kind}-{number:05d}"


def _add_listed(ranges: _Ranges, store: Store, parts: Sequence[str], sizes: list[int]) -> None:
    """Adds the ids of parts with their places, and to `sizes` how many each part has.

    A place is the number of a bit; each part's bits begin in a byte of their own.
    """

    def ids_of(part: str) -> Ids:
        (table,) = read_manifest(store, [part], ["image_id"])
        return packed_ids(table["image_id"])

    first = 8 * sum(map(_bytes_of, sizes))
    for ids in side_by_side(ids_of, parts):
        listed = np.empty(ids.size, _LISTED)
        listed["id"], listed["place"] = ids, np.arange(first, first + ids.size)
        ranges.add("listed", ids, listed)
        sizes.append(ids.size)
        first += 8 * _bytes_of(ids.size)


def _set_done(bits: Bits, listed: NDArray[np.void], done: Ids) -> None:
    places = listed["place"][is_among(listed["id"], np.sort(done))]
    np.bitwise_or.at(bits, places >> 3, np.left_shift(1, places & 7).astype(np.uint8))


def _with_something_left(parts: Sequence[str], sizes: Sequence[int], bits: Bits) -> Iterator[PendingPart]:
    start = 0
    for part, size in zip(parts, sizes, strict=True):
        own = bits[start : start + _bytes_of(size)]
        start += own.size
        if not _unpacked(own, size).all():
            yield PendingPart(part, own.tobytes() if own.any() else b"")


def _unpacked(bits: Bits, size: int) -> NDArray[np.bool_]:
    return np.unpackbits(bits, count=size, bitorder="little").astype(bool)


def _bytes_of(bits: int) -> int:
    return (bits + 7) // 8
