"""Writing and reading shards: immutable Parquet files of at most SHARD_BYTES, each with its commit.

A shard is created only if its name is free, then committed. If the name is taken, an earlier attempt at the
same task has written that file: the file stays, and its rows are not written again. So a task may be tried
any number of times, even at the same time, and each of its rows ends in exactly one committed shard.
"""

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.output.commits import Commit, write_commit
from pipeline.output.format.names import shard_name
from pipeline.output.format.parquet import (
    group_rows,
    parquet_bytes,
    parquet_columns,
    parquet_memory_bytes,
    parquet_metadata,
    parquet_table,
)
from pipeline.output.format.schema import ADDED_LATER, SCHEMA_WITH_VECTORS
from pipeline.store.range_file import RangeFile
from pipeline.store.storage import Store

SHARD_BYTES = 128 << 20  # in memory; readers stream shards of 64-128 MB well, and one put can carry it
# Of a row group, in memory: a reader of one image reads no more than that.
ROW_GROUP_BYTES = 16 << 20
_FEW_VALUES = ["status", "error"]  # only here a dictionary saves bytes: no two masks are alike


def write_shards(store: Store, task: str, rows: pa.Table, metadata: Mapping[bytes, bytes]) -> list[Commit]:
    """Writes the task's rows; returns the commits that hold them, those of earlier attempts included."""
    commits: list[Commit] = []
    while rows.num_rows:
        name = f"{task}.{len(commits)}" if commits else task
        commit, stored_ids = _write_shard(store, name, _head(rows), metadata)
        commits.append(commit)
        rows = rows.filter(pc.invert(pc.is_in(rows["image_id"], value_set=stored_ids)))
    return commits


def read_shard(
    store: Store, commit: Commit, columns: Sequence[str] | None = None, groups: Sequence[int] | None = None
) -> pa.Table:
    """A shard's rows under SCHEMA; only the bytes of the named columns and row groups are read.

    Raises: DamagedFile.
    """
    whole = columns is None and groups is None
    file = store.read(commit.shard) if whole else RangeFile(store, commit.shard, commit.bytes)
    table = parquet_table(file, store.uri(commit.shard), columns, groups, may_lack=ADDED_LATER)
    for place, field in enumerate(table.schema):
        if pa.types.is_fixed_size_list(field.type):  # of the first shards: see schema.py
            now = SCHEMA_WITH_VECTORS.field(field.name)
            table = table.set_column(place, now, table[field.name].cast(now.type))
    return _in_order(table) if columns is None else table


def _in_order(table: pa.Table) -> pa.Table:
    """The columns in the order of SCHEMA_WITH_VECTORS: those added later come before the vectors."""
    known = [name for name in SCHEMA_WITH_VECTORS.names if name in table.column_names]
    return table.select([*known, *(name for name in table.column_names if name not in known)])


def shard_group_rows(store: Store, commit: Commit) -> list[int]:
    """How many rows each row group of a shard has; reads its footer. Raises: DamagedFile."""
    return group_rows(RangeFile(store, commit.shard, commit.bytes), store.uri(commit.shard))


def shard_columns(store: Store, commit: Commit) -> list[str]:
    """The columns that a shard has; reads its footer. Raises: DamagedFile."""
    return parquet_columns(RangeFile(store, commit.shard, commit.bytes), store.uri(commit.shard))


def shard_metadata(store: Store, commit: Commit) -> Mapping[bytes, bytes]:
    """A shard's file metadata, with the key `sam_label`. Raises: DamagedFile."""
    file = RangeFile(store, commit.shard, commit.bytes)
    return parquet_metadata(file, store.uri(commit.shard))


def shard_memory_bytes(store: Store, commit: Commit) -> int:
    """The bytes that a shard's rows take in memory, from its footer alone. Raises: DamagedFile."""
    file = RangeFile(store, commit.shard, commit.bytes)
    return parquet_memory_bytes(file, store.uri(commit.shard))


def _write_shard(
    store: Store, name: str, rows: pa.Table, metadata: Mapping[bytes, bytes]
) -> tuple[Commit, pa.ChunkedArray]:
    table = rows.replace_schema_metadata(dict(metadata))
    data = parquet_bytes(table, _FEW_VALUES, _rows_within(ROW_GROUP_BYTES, table))
    if not store.create(shard_name(name), data):
        data = store.read(shard_name(name))
        table = parquet_table(data, store.uri(shard_name(name)))
    commit = Commit.of(name, table, len(data))
    write_commit(store, commit)
    return commit, table["image_id"]


def _head(rows: pa.Table) -> pa.Table:
    """The first rows that fit SHARD_BYTES."""
    return rows.slice(0, _rows_within(SHARD_BYTES, rows))


def _rows_within(size: int, rows: pa.Table) -> int:
    """How many of the rows fit `size` bytes of memory, by their mean size; at least one."""
    return max(1, int(rows.num_rows * size // max(rows.nbytes, 1)))
