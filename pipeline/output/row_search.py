"""Finds the rows of some images in datasets; there may be as many images as rows.

The ids of both go through files on the local disk, so memory is a bit a row.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.output.dataset import Dataset
from pipeline.output.id_ranges import IdRanges, RangedIds, id_ranges
from pipeline.output.ids import is_among, packed_ids
from pipeline.output.marks import Marks
from pipeline.progress import Progress, silent


@dataclass(frozen=True)
class RowSearch:
    """A search among the rows of the datasets' shards."""

    datasets: Sequence[Dataset]
    images: RangedIds  # the images to look for; add their ids here
    ranges: IdRanges

    def found(self, once: bool = False) -> Marks:
        """Marks the images' rows, shard by shard of each dataset; with `once` only each image's first.

        No shard is read if no image is looked for. Raises: as `Dataset.tables`.
        """
        marks = Marks([commit.rows for dataset in self.datasets for commit in dataset.commits])
        if not self.images.size:
            return marks
        rows = self.ranges.of_kind("rows")
        for dataset in self.datasets:
            for ids in dataset.done_ids():
                rows.add(ids)
        for number in range(self.ranges.count):
            some = rows.of(number)
            some = some[is_among(some["id"], np.sort(self.images.of(number)["id"]))]
            if once:
                some = some[np.unique(some["id"], return_index=True)[1]]
            marks.set(some["place"])
        return marks


@contextmanager
def row_search(datasets: Sequence[Dataset]) -> Iterator[RowSearch]:
    """A search until the end of the block. Raises: SamLabelError if the local disk is full."""
    with id_ranges(sum(dataset.rows for dataset in datasets)) as ranges:
        yield RowSearch(datasets, ranges.of_kind("images", has_places=False), ranges)


def rows_left(
    output: Dataset, datasets: Sequence[Dataset], progress: Progress = silent
) -> Iterator[tuple[int, pa.Table]]:
    """The datasets' rows of images that have none in `output` yet, each table with the number of its shard.

    If several shards hold an image, the row of the first is used. Raises: as `Dataset.tables`.
    """
    with row_search(datasets) as search:
        for images in output.pending():
            search.images.add(packed_ids(images["image_id"]))
        is_left = search.found(once=True)
    rows, seen = sum(dataset.rows for dataset in datasets), 0
    shards = ((dataset, commit) for dataset in datasets for commit in dataset.commits)
    for number, ((dataset, commit), chosen) in enumerate(zip(shards, is_left, strict=True)):
        if chosen.any():
            yield number, dataset.rows_of(commit).filter(pa.array(chosen))
        seen += commit.rows
        progress(seen, rows)
