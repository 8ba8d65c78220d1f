"""The sink at the end of a real Ray Data chain, with write tasks that die halfway and are retried."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import ray
import ray.data

from pipeline.errors import OutputLocked
from pipeline.output.commands.validate import validate
from pipeline.output.format.identity import Identity
from pipeline.output.format.manifest import rows_of
from pipeline.output.format.schema import table_of
from pipeline.output.sink import MAX_ROWS, MIN_ROWS, ShardSink, rows_a_shard
from pipeline.output.writer import Listing, open_output
from pipeline.store.storage import Store
from sam_core.options import MaskOptions

NAMES = [
    f"{number:03d}" for number in range(16)
]  # two write tasks: one dies after its shard, one after its commit


pytestmark = pytest.mark.usefixtures("one_ray")


@dataclass
class MortalSink(ShardSink):
    """Its process is killed once in each task, after the shard or after the commit."""

    marks: Path = Path()

    def write(self, blocks: Any, ctx: Any) -> Any:
        mark = self.marks / str(ctx.task_idx)
        if not mark.exists():
            mark.touch()

            class Mortal(Store):
                def create(self, name: str, data: bytes) -> bool:
                    created = super().create(name, data)
                    if name.startswith("data/" if ctx.task_idx % 2 else "_commits/"):
                        os.kill(os.getpid(), signal.SIGKILL)
                    return created

            self.store = Mortal(self.store.location)
        return super().write(blocks, ctx)


def labelled(rehearsal: Any, output: Any) -> ray.data.Dataset:
    schema = rehearsal.identity.schema
    tables = [table_of([rehearsal.row(image)], schema) for image in rows_of(output.dataset.pending())]
    return ray.data.from_arrow(tables)


def test_write_tasks_that_die_after_shard_or_commit_lose_and_double_nothing(
    tmp_path: Path, rehearsal
) -> None:
    photos, store = rehearsal(NAMES), Store.at(str(tmp_path / "out"))
    photos.identity = Identity("vit_t", "0" * 64, MaskOptions(mask_embeddings=True))  # the widest rows
    (tmp_path / "marks").mkdir()
    with open_output(store, photos.identity, Listing("file:///photos", photos.listing)) as output:
        sink = output.sink()
        mortal = MortalSink(**{**vars(sink), "marks": tmp_path / "marks"})
        labelled(photos, output).write_datasink(mortal)
        assert sink.rows_a_shard == MIN_ROWS
    assert len(list((tmp_path / "marks").iterdir())) == len(NAMES) / MIN_ROWS
    assert validate(str(tmp_path / "out")).problems == []
    found = pa.concat_tables(output.dataset.in_store(store).tables()).to_pylist()
    assert sorted(found, key=lambda row: row["uri"]) == photos.rows()


def test_an_overtaken_run_ends_at_its_next_write(tmp_path: Path, rehearsal) -> None:
    photos, store = rehearsal(NAMES[:4]), Store.at(str(tmp_path / "out"))

    def run() -> None:
        with open_output(store, photos.identity, Listing("file:///photos", photos.listing)) as output:
            later = store.read("_lock/00001.json").replace(b'"generation": 1', b'"generation": 9')
            store.create("_lock/00009.json", later)
            labelled(photos, output).write_datasink(output.sink())

    with pytest.raises(ray.exceptions.RayTaskError) as caught:
        run()
    assert isinstance(caught.value.cause, OutputLocked)
    assert list(store.list("data")) == []


@pytest.mark.parametrize(
    ("images", "rows"),
    [(0, MIN_ROWS), (6, MIN_ROWS), (10_000, 100), (100_000, 1000), (100_000_000, MAX_ROWS)],
)
def test_a_shard_holds_a_hundredth_of_the_run_within_bounds(images: int, rows: int) -> None:
    assert rows_a_shard(images) == rows
