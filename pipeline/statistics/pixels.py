"""Coverage, overlap and nesting of a sample of images, from run lengths."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.errors import DamagedFile
from pipeline.histogram import SHARES, Histogram
from pipeline.output.commits import Commit
from pipeline.output.dataset import Dataset
from sam_core.masks.overlap import overlap

_COLUMNS = ("uri", "status", "width", "height", "mask_counts", "mask_area")
_ROWS_AT_ONCE = 16  # as Python values


@dataclass
class PixelFigures:
    """Figures of the labelled images of a sample."""

    images: int = 0
    masks: int = 0
    nested: int = 0  # masks that lie in a larger one
    coverage: Histogram = field(default_factory=lambda: Histogram(SHARES))  # pixels under any mask
    overlap: Histogram = field(default_factory=lambda: Histogram(SHARES))  # pixels under two or more


def add_pixels(figures: PixelFigures, dataset: Dataset, commit: Commit, places: NDArray[np.int64]) -> None:
    """Counts the rows of a shard at `places`. Raises: DamagedFile for unsound masks."""
    table = dataset.rows_of(commit, _COLUMNS).take(pa.array(places))
    for batch in table.to_batches(max_chunksize=_ROWS_AT_ONCE):
        for row in batch.to_pylist():
            if row["status"] == "ok":
                _add(figures, row, dataset.store.uri(commit.shard))


def _add(figures: PixelFigures, row: dict[str, Any], shard: str) -> None:
    height, width = row["height"], row["width"]
    counts = [one.encode() for one in row["mask_counts"]]
    try:
        found = overlap(counts, np.array(row["mask_area"], np.int64), height, width)
    except ValueError as fault:
        raise DamagedFile(shard, f"the row of {row['uri']}: {fault}") from fault
    figures.images += 1
    figures.masks += len(counts)
    figures.nested += found.nested
    figures.coverage.add([found.covered / (height * width)])
    figures.overlap.add([found.covered_twice / (height * width)])
