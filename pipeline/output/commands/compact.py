"""Joins small shards into few large ones, which training reads well.

Frequent or small runs leave many small shards. `compact` writes their rows again in larger shards, which are
named for a new run. Once the record of that run exists, they count in place of the small ones
(infra/adr/0006). Nothing else changes: the rows, the large shards, the manifest and the identity stay.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from pipeline.output.commits import Commit
from pipeline.output.dataset import Dataset
from pipeline.output.format.names import kept
from pipeline.output.format.schema import conformed, file_metadata
from pipeline.output.lock import held_lock
from pipeline.output.shards import SHARD_BYTES, write_shards
from pipeline.output.writer import switched
from pipeline.progress import Progress, silent
from pipeline.store.storage import Store, side_by_side

# In memory. Less than SHARD_BYTES, at which a shard is cut: footers state a little less than rows take.
GROUP_BYTES = SHARD_BYTES * 3 // 4
SMALL_BYTES = GROUP_BYTES // 2  # so that a full group never counts as a small shard again

Group = list[Commit]


@dataclass(frozen=True)
class Compacted:
    """The shards before and after."""

    shards_before: int
    shards: int
    bytes_before: int
    bytes: int


def compact(output: str, progress: Progress = silent) -> Compacted:
    """Compacts the dataset at `output`; writes nothing if no two small shards fit together.

    Raises: UsageError if there is no dataset, OutputLocked.
    """
    store = Store.at(output)
    Dataset.in_store(store)
    with held_lock(store) as lock:
        before = Dataset.in_store(store)
        groups = [group for group in _groups(before) if len(group) > 1]
        metadata = file_metadata(before.identity.described(), lock.run)
        written: list[Commit] = []
        rows, done = sum(commit.rows for group in groups for commit in group), 0
        for number, group in enumerate(groups):
            lock.check()
            table = pa.concat_tables(_tables(before, group))
            written += write_shards(store, kept(lock.run, number), table, metadata)
            done += table.num_rows
            progress(done, rows)
        replaced = {commit.name for group in groups for commit in group}
        standing = [commit for commit in before.commits if commit.name not in replaced]
        after = [*standing, *written]
        if groups:
            record = before.record.next(lock.run, "compact", [commit.name for commit in after])
            with switched(store, lock, record, after):
                pass
    return Compacted(len(before.commits), len(after), _bytes(before.commits), _bytes(after))


def _groups(dataset: Dataset) -> Iterator[Group]:
    """The small shards in their order, in groups of which each makes one large shard."""
    group: Group = []
    size = 0
    # A shard takes at least its file's size in memory, so the footers of large files need not be read.
    candidates = [commit for commit in dataset.commits if commit.bytes < SMALL_BYTES]
    sizes = side_by_side(dataset.memory_bytes_of, candidates)
    for commit, own in zip(candidates, sizes, strict=True):
        if own >= SMALL_BYTES:
            continue
        if size + own > GROUP_BYTES:
            yield group
            group, size = [], 0
        group.append(commit)
        size += own
    if group:
        yield group


def _tables(dataset: Dataset, group: Group) -> Iterator[pa.Table]:
    for commit in group:
        yield conformed(dataset.rows_of(commit), dataset.identity.schema)


def _bytes(commits: Iterable[Commit]) -> int:
    return sum(commit.bytes for commit in commits)
