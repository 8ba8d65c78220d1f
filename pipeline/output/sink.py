"""The end of the Ray Data chain: a write task's blocks become committed shards.

A shard holds a hundredth of the images that are left, so that a killed run loses about 1 % of its work. It
holds at least MIN_ROWS, so that there are not many tiny files, and at most MAX_ROWS, which reach SHARD_BYTES.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from operator import call
from typing import Any

import pyarrow as pa
from ray.data.block import Block, BlockAccessor
from ray.data.datasource import Datasink

from pipeline.metrics.work import Stage, Work, WorkClock
from pipeline.output.commits import Commit
from pipeline.output.format.names import labelled, run_id
from pipeline.output.format.schema import conformed
from pipeline.output.lock import refuse_without_lock
from pipeline.output.shards import write_shards
from pipeline.store.storage import Store

MIN_ROWS, MAX_ROWS = 8, 2048  # 2,048 images of 100 masks are about 60 MB on disk


def rows_a_shard(images_left: int) -> int:
    """How many images to gather for one shard."""
    return min(max(images_left // 100, MIN_ROWS), MAX_ROWS)


@dataclass
class ShardSink(Datasink[list[Commit]]):
    """Writes the rows of one run; safe to retry. It raises once another run has taken the output over."""

    store: Store
    generation: int
    word: str  # of the run's lock
    metadata: Mapping[bytes, bytes]
    schema: pa.Schema
    rows_a_shard: int
    logged: Callable[[], AbstractContextManager[None]] = nullcontext  # around each write
    done: Callable[[Callable[[], Any]], Any] = call  # does the write, here or on another node
    add_work: Callable[[Work], object] | None = None  # called with the work of each write

    def write(self, blocks: Iterable[Block], ctx: Any) -> list[Commit]:
        """The commits of this task's rows. Raises: OutputLocked, StoreError."""
        tables = (BlockAccessor.for_block(block).to_arrow() for block in blocks)
        rows = pa.concat_tables(
            [
                self.schema.empty_table(),
                *(conformed(table, self.schema) for table in tables if table.num_rows),
            ]
        )
        name = labelled(run_id(self.generation), ctx.task_idx)
        clock = WorkClock()
        with self.logged(), clock.timed(Stage.WRITE, rows.num_rows):
            commits: list[Commit] = self.done(partial(self._committed, name, rows))
        if self.add_work is not None:
            self.add_work(clock.read())
        return commits

    def _committed(self, name: str, rows: pa.Table) -> list[Commit]:
        refuse_without_lock(self.store, self.generation, self.word)
        return write_shards(self.store, name, rows, self.metadata)

    @property
    def min_rows_per_write(self) -> int:
        return self.rows_a_shard
