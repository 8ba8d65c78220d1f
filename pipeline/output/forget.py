"""Takes rows out of a dataset: writes each shard that holds some of them again without them.

The new shards belong to the run that writes them, and replace the old ones once its record exists. The
images then have no row, so the next run labels them.
"""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.output.commits import Commit
from pipeline.output.dataset import Dataset
from pipeline.output.format.names import kept
from pipeline.output.format.schema import file_metadata
from pipeline.output.shards import write_shards
from pipeline.progress import Progress, silent


def forget_rows(
    dataset: Dataset, run: str, matches: Iterable[NDArray[np.bool_]], progress: Progress = silent
) -> tuple[tuple[str, ...], int]:
    """Takes out the matching rows; returns the names of the commits that are left, and how many rows it took.

    `matches` gives, for each shard in turn, which of its rows to take out.
    """
    standing: list[str] = []
    forgotten = seen = 0
    metadata = file_metadata(dataset.identity.described(), run)
    for number, (commit, is_match) in enumerate(zip(dataset.commits, matches, strict=True)):
        if is_match.any():
            forgotten += int(is_match.sum())
            rest = dataset.rows_of(commit).filter(pa.array(~is_match))
            written: list[Commit] = write_shards(dataset.store, kept(run, number), rest, metadata)
            standing += [new.name for new in written]
        else:
            standing.append(commit.name)
        seen += commit.rows
        progress(seen, dataset.rows)
    return tuple(standing), forgotten
