"""Taking rows out of a dataset: each shard that holds some of them is written again without them.

The new shards belong to the run that writes them. They count once its record is there, in the place of the
old ones. The images then have no row, so the next run labels them.
"""

from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.output.commits import Commit
from pipeline.output.dataset import Dataset
from pipeline.output.format.names import kept
from pipeline.output.format.schema import file_metadata
from pipeline.output.shards import read_shard, write_shards

# For each row of a table of `columns`, whether it is taken out.
Matches = Callable[[pa.Table], pa.ChunkedArray]


def forget_rows(
    dataset: Dataset,
    run: str,
    columns: Sequence[str],
    matches: Matches,
    may_match: Callable[[Commit], bool] = lambda commit: True,
) -> tuple[tuple[str, ...], int]:
    """The names of the commits without the matching rows, and the number of these rows.

    A shard is not read if `may_match` denies its commit.
    """
    standing: list[str] = []
    forgotten = 0
    metadata = file_metadata(dataset.identity.described(), run)
    for number, commit in enumerate(dataset.commits):
        if not may_match(commit):
            standing.append(commit.name)
            continue
        is_match = matches(read_shard(dataset.store, commit, columns))
        match_count = pc.sum(is_match).as_py() or 0
        forgotten += match_count
        if not match_count:
            standing.append(commit.name)
            continue
        rest = read_shard(dataset.store, commit).filter(pc.invert(is_match))
        written: list[Commit] = write_shards(dataset.store, kept(run, number), rest, metadata)
        standing += [new.name for new in written]
    return tuple(standing), forgotten
