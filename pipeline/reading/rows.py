"""The wanted rows of a snapshot, numbered from 0 in the order of the shards' names and of their rows.

The condition is checked first, with the columns that it needs. If no row of a shard meets it, nothing else of
the shard is read.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.fork_locks import WithLocks
from pipeline.output.commits import Commit
from pipeline.output.dataset import Dataset as Snapshot
from pipeline.output.ids import packed_ids
from pipeline.reading.block import Block, ImageSettings
from pipeline.reading.columns import columns_of
from pipeline.reading.record import Record
from pipeline.store.settings import recorded_access
from pipeline.store.storage import side_by_side
from sam_core.cached import cached_property

KEPT_BYTES = 256 << 20  # of row groups, for random access: a shard of 128 MB and what comes after it
Numbers = NDArray[np.int64]
Places = NDArray[np.int32]  # rows of one shard: with `where` they stay in memory for all shards


@dataclass(frozen=True)
class Rows:
    """The rows of a snapshot that meet a condition; `columns` of them are read."""

    snapshot: Snapshot
    columns: tuple[str, ...]
    where: pc.Expression | None = None
    only_ok: bool = False
    _kept: "_KeptBlocks" = field(default_factory=lambda: _KeptBlocks(), repr=False, compare=False)

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def commits(self) -> tuple[Commit, ...]:
        return self.snapshot.commits

    @cached_property
    def images(self) -> ImageSettings:
        """How the run read the images of the rows."""
        return ImageSettings(self.snapshot.identity.reading, recorded_access(self.snapshot.record.settings))

    @cached_property
    def starts(self) -> Numbers:
        """The number of each shard's first row; the last entry is the number of all rows."""
        counts = [
            commit.rows if places is None else len(places)
            for commit, places in zip(self.commits, self._places, strict=True)
        ]
        return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])

    def block(self, shard: int) -> tuple[Block, Places]:
        """A shard's rows, and which of them are wanted; an empty block if there are none."""
        commit = self.commits[shard]
        # a pass over all rows need not check the condition on all shards first
        places = self._places[shard] if "_places" in self.__dict__ else self._places_of(commit)
        if places is not None and not len(places):
            return Block(pa.table({}), self.images), places
        table = self.snapshot.rows_of(commit, self.columns)
        return Block(table, self.images), np.arange(commit.rows, dtype=np.int32) if places is None else places

    def record(self, number: int) -> Record:
        """The row with that number; only the row group that holds it is read."""
        shard = int(np.searchsorted(self.starts, number, side="right")) - 1
        place, places = number - int(self.starts[shard]), self._places[shard]
        block, row = self._block_at(self.commits[shard], place if places is None else int(places[place]))
        return Record(block, row)

    @cached_property
    def ids(self) -> tuple[NDArray[np.bytes_], Numbers | NDArray[np.int32]]:
        """The sorted ids of the rows, 16 bytes each, and the number of each row."""
        ids = np.empty(len(self), "S16")

        def read(shard: int) -> None:
            every = packed_ids(self.snapshot.rows_of(self.commits[shard], ["image_id"])["image_id"])
            places = self._places[shard]
            ids[self.starts[shard] : self.starts[shard + 1]] = every if places is None else every[places]

        side_by_side(read, range(len(self.commits)))
        order = np.argsort(ids, kind="stable")
        # 4 bytes instead of 8 for each of millions of rows
        numbers = order.astype(np.int32) if len(order) <= np.iinfo(np.int32).max else order
        return ids[order], numbers

    @cached_property
    def _places(self) -> list[Places | None]:
        """For each shard the wanted rows; None for all of them."""
        return side_by_side(self._places_of, self.commits)

    @cached_property
    def _where_columns(self) -> frozenset[str]:
        """The columns that `where` needs: kept, since Arrow is asked once for each column of the schema."""
        schema = self.snapshot.identity.schema
        return frozenset() if self.where is None else frozenset(columns_of(self.where, schema))

    def _places_of(self, commit: Commit) -> Places | None:
        condition, columns = self.where, self._where_columns
        if self.only_ok and commit.failed:
            is_ok = pc.field("status") == "ok"
            condition, columns = is_ok if condition is None else condition & is_ok, columns | {"status"}
        if condition is None:
            return None
        table = self.snapshot.rows_of(commit, sorted(columns))
        numbered = table.append_column("row", pa.array(np.arange(table.num_rows, dtype=np.int32)))
        places: Places = numbered.filter(condition)["row"].to_numpy()
        return None if len(places) == commit.rows else places

    def _block_at(self, commit: Commit, row: int) -> tuple[Block, int]:
        """The row group that holds a row of the file, and the row's place in it."""
        edges = self._kept.edges(self.snapshot, commit)
        group = int(np.searchsorted(edges, row, side="right")) - 1
        return self._kept.block(self, commit, group), row - int(edges[group])

    def __getstate__(self) -> dict[str, object]:
        return {key: value for key, value in self.__dict__.items() if key != "_kept"}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state, _kept=_KeptBlocks())


class _KeptBlocks(WithLocks):
    """A cache of the row groups that were read last, up to KEPT_BYTES; several threads may use it."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[tuple[str, int], Block] = OrderedDict()
        self._edges: dict[str, Numbers] = {}
        self._bytes = 0
        super().__init__()

    def make_locks(self) -> None:
        self._lock = threading.Lock()

    def edges(self, snapshot: Snapshot, commit: Commit) -> Numbers:
        """The first row of each row group of a shard; the last entry is the number of its rows."""
        with self._lock:
            if commit.name not in self._edges:
                rows = snapshot.group_rows_of(commit)
                self._edges[commit.name] = np.concatenate([[0], np.cumsum(rows, dtype=np.int64)])
            return self._edges[commit.name]

    def block(self, rows: Rows, commit: Commit, group: int) -> Block:
        key = (commit.name, group)
        with self._lock:
            if key in self._blocks:
                self._blocks.move_to_end(key)
                return self._blocks[key]
            block = Block(rows.snapshot.rows_of(commit, rows.columns, [group]), rows.images)
            self._blocks[key] = block
            self._bytes += block.table.nbytes
            while self._bytes > KEPT_BYTES and len(self._blocks) > 1:
                self._bytes -= self._blocks.popitem(last=False)[1].table.nbytes
            return block
