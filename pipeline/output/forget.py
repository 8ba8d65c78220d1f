"""Taking rows out of a dataset: each shard that holds some is written again without them.

The new shards belong to the run that writes them and count from the moment its record is there, in the place
of the old ones. The images are then simply not done, and the next labelling does them.
"""

from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.output.commits import Commit
from pipeline.output.dataset import Dataset
from pipeline.output.format.schema import file_metadata
from pipeline.output.shards import read_shard, write_shards

Matches = Callable[[pa.Table], pa.ChunkedArray]  # of a table of `columns`: for each row whether it goes


def forget_rows(
    dataset: Dataset,
    run: str,
    columns: Sequence[str],
    matches: Matches,
    may_match: Callable[[Commit], bool] = lambda commit: True,
) -> tuple[tuple[str, ...], int]:
    """The commits that stand once the matching rows are gone, and how many rows those were.

    A shard whose commit cannot match is not read.
    """
    standing: list[str] = []
    forgotten = 0
    metadata = file_metadata(dataset.identity.described(), run)
    for number, commit in enumerate(dataset.commits):
        if not may_match(commit):
            standing.append(commit.name)
            continue
        goes = matches(read_shard(dataset.store, commit, columns))
        going = pc.sum(goes).as_py() or 0
        forgotten += going
        if not going:
            standing.append(commit.name)
            continue
        kept = read_shard(dataset.store, commit).filter(pc.invert(goes))
        written: list[Commit] = write_shards(dataset.store, f"{run}-kept{number:06d}", kept, metadata)
        standing += [kept_commit.name for kept_commit in written]
    return tuple(standing), forgotten
