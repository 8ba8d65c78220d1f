"""Finds the images of a manifest that have no row yet, in little memory: a bit an image.

The ids of images that have a row, and those of the manifest with their places, are compared through files on
the local disk (40 bytes an image).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.output.format.manifest import read_manifest
from pipeline.output.id_ranges import id_ranges
from pipeline.output.ids import Ids, is_among, packed_ids
from pipeline.output.marks import Marks
from pipeline.store.objects import UNKNOWN_SIZE
from pipeline.store.storage import Store, side_by_side

ASKED = 5  # images of a part whose sizes are asked for: those of three parts are one round of requests
PARTS_AT_ONCE = 8  # read side by side: 400,000 ids, 6 MB, and 50 MB as text


@dataclass(frozen=True)
class PendingPart:
    """A part of the manifest that names images without a row."""

    name: str
    done: bytes = b""  # a bit for each image, the lowest first, set if it has a row; empty if none has

    def tables(self, store: Store) -> Iterator[pa.Table]:
        """The rows of its images that are still to be labelled. Raises: DamagedFile."""
        for table in read_manifest(store, [self.name]):
            if not self.done:
                yield table
                continue
            bits = np.frombuffer(self.done, np.uint8)
            is_done = np.unpackbits(bits, count=table.num_rows, bitorder="little").astype(bool)
            yield table.filter(pa.array(~is_done))


def mean_size(
    store: Store, parts: Sequence[PendingPart], sizes_of: Callable[[Sequence[str]], Sequence[int]]
) -> float:
    """Bytes of an image, on average, in the first, the middle and the last part; 0 if no size is known.

    If the manifest has no size of them, as of a list, it is the average of a few for which `sizes_of`, called
    with their uris, gives more than 0.
    Raises: DamagedFile.
    """
    some = [parts[place].name for place in sorted({0, len(parts) // 2, len(parts) - 1})] if parts else []
    sizes = np.concatenate(
        [np.empty(0), *(table["size"].to_numpy() for table in read_manifest(store, some, ["size"]))]
    )
    known = sizes[sizes != UNKNOWN_SIZE]
    if not known.size:
        uris = [uri for table in read_manifest(store, some, ["uri"]) for uri in _spread(table["uri"])]
        asked = np.array(sizes_of(uris))
        known = asked[asked > 0]
    return float(known.mean()) if known.size else 0.0


def _spread(uris: pa.ChunkedArray) -> list[str]:
    """A few of the uris, as far apart as they go."""
    places = np.linspace(0, len(uris) - 1, min(ASKED, len(uris)), dtype=int)
    few: list[str] = uris.take(places).to_pylist()
    return few


def pending_parts(store: Store, parts: Sequence[str], images: int, done: Iterable[Ids]) -> list[PendingPart]:
    """The parts of a manifest of `images` that name an image not in `done`, whose ids may come in any order.

    Raises: DamagedFile. SamLabelError if the local disk is full.
    """

    def ids_of(part: str) -> Ids:
        (table,) = read_manifest(store, [part], ["image_id"])
        return packed_ids(table["image_id"])

    with id_ranges(images) as ranges:
        done_ids = ranges.of_kind("done", has_places=False)
        for ids in done:
            done_ids.add(ids)
        if not done_ids.size:
            return [PendingPart(part) for part in parts]
        listed, sizes = ranges.of_kind("listed"), []
        for start in range(0, len(parts), PARTS_AT_ONCE):
            for ids in side_by_side(ids_of, parts[start : start + PARTS_AT_ONCE]):
                listed.add(ids)
                sizes.append(ids.size)
        is_done = Marks(sizes)
        for number in range(ranges.count):
            some = listed.of(number)
            is_done.set(some["place"][is_among(some["id"], np.sort(done_ids.of(number)["id"]))])
    return list(_with_something_left(parts, is_done))


def _with_something_left(parts: Sequence[str], is_done: Marks) -> Iterator[PendingPart]:
    for part, done in zip(parts, is_done, strict=True):
        if not done.all():
            yield PendingPart(part, np.packbits(done, bitorder="little").tobytes() if done.any() else b"")
