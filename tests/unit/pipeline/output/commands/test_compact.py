"""Small shards are joined: the same rows in fewer files, whatever happened before and happens after."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from dataset_rows import rows

from jobs.cli import main
from pipeline.config import FilterConfig
from pipeline.errors import OutputLocked, SamLabelError, UsageError
from pipeline.output import shards
from pipeline.output.commands import compact as command
from pipeline.output.commands.compact import compact
from pipeline.output.commands.filter import filtered_dataset
from pipeline.output.commands.retry import retry
from pipeline.output.commands.validate import validate
from pipeline.output.dataset import Dataset
from pipeline.output.format.identity import Identity
from pipeline.output.lock import held_lock
from pipeline.store.storage import Store
from sam_core.options import MaskOptions

NAMES = [f"{number:03d}" for number in range(60)]


@pytest.fixture
def photos(rehearsal):
    return rehearsal(NAMES)


def test_small_shards_become_one_of_the_same_rows(tmp_path: Path, photos) -> None:
    photos.run(Store.at(str(tmp_path)))
    before = Dataset.at(str(tmp_path))
    result = compact(str(tmp_path))
    assert (result.shards_before, result.shards) == (20, 1)
    assert result.bytes < result.bytes_before == sum(commit.bytes for commit in before.commits)
    after = Dataset.at(str(tmp_path))
    assert rows(tmp_path) == photos.rows()
    assert after.failed_by_reason == before.failed_by_reason
    assert (after.record.purpose, after.record.grown_since) == ("compact", before.record.grown_since)
    assert validate(str(tmp_path)).problems == []
    assert [file.name for file in tmp_path.glob("data/*")] == [f"{after.commits[0].name}.parquet"]


def test_a_second_time_writes_nothing(tmp_path: Path, photos) -> None:
    photos.run(Store.at(str(tmp_path)))
    compact(str(tmp_path))
    record = Dataset.at(str(tmp_path)).record
    assert compact(str(tmp_path)).shards == 1
    assert Dataset.at(str(tmp_path)).record == record


@pytest.mark.parametrize("group_bytes", [30_000, 40_000, 60_000])
def test_shards_grow_up_to_a_size_and_large_ones_stay(
    tmp_path: Path, rehearsal, monkeypatch: pytest.MonkeyPatch, group_bytes: int
) -> None:
    photos = rehearsal([f"{number:03d}" for number in range(600)])
    photos.shard_rows = 50
    monkeypatch.setattr(shards, "SHARD_BYTES", group_bytes * 4 // 3)
    monkeypatch.setattr(command, "GROUP_BYTES", group_bytes)
    monkeypatch.setattr(command, "SMALL_BYTES", group_bytes // 2)
    photos.run(Store.at(str(tmp_path)))
    compact(str(tmp_path))
    first = Dataset.at(str(tmp_path))
    sizes = [shards.shard_memory_bytes(first.store, commit) for commit in first.commits]
    assert 1 < len(sizes) < 12
    assert all(group_bytes // 2 <= size <= group_bytes * 4 // 3 for size in sizes[:-1])
    photos.etags |= {f"file:///photos/new{number}": "1" for number in range(9)}
    photos.run(Store.at(str(tmp_path)), refresh=True)
    compact(str(tmp_path))
    large = {
        commit.name for commit, size in zip(first.commits, sizes, strict=True) if size >= group_bytes // 2
    }
    assert large <= {commit.name for commit in Dataset.at(str(tmp_path)).commits}
    assert rows(tmp_path) == photos.rows()
    last = Dataset.at(str(tmp_path)).record
    compact(str(tmp_path))
    assert Dataset.at(str(tmp_path)).record == last


def test_a_resumed_run_and_a_retry_go_on_after_it(tmp_path: Path, photos) -> None:
    store = Store.at(str(tmp_path))
    photos.run(store, shards=7)
    compact(str(tmp_path))
    photos.run(store)
    compact(str(tmp_path))
    assert retry(str(tmp_path)) > 0
    compact(str(tmp_path))
    photos.run(store)
    assert rows(tmp_path) == photos.rows()
    assert validate(str(tmp_path)).problems == []


def test_a_reader_of_before_is_told_to_open_it_again(tmp_path: Path, photos) -> None:
    photos.run(Store.at(str(tmp_path)))
    reader = Dataset.at(str(tmp_path))
    compact(str(tmp_path))
    with pytest.raises(SamLabelError, match="run r00002 has replaced a file"):
        reader.table()
    assert pa.compute.sum(reader.again().table()["num_masks"]).as_py() == reader.masks


def test_a_filter_of_it_goes_on_after_it(tmp_path: Path, photos) -> None:
    photos.identity = Identity(
        "vit_t", "0" * 64, MaskOptions(pred_iou_thresh=0.5, box_nms_thresh=1, crop_nms_thresh=1)
    )
    loose, tight = tmp_path / "loose", tmp_path / "tight"
    config = FilterConfig(input=str(loose), output=str(tight), mask=MaskOptions(pred_iou_thresh=0.7))
    photos.run(Store.at(str(loose)), shards=5)
    filtered_dataset(config)
    compact(str(loose))
    photos.run(Store.at(str(loose)))
    compact(str(tight))
    filtered_dataset(config)
    assert [row["mask_counts"] for row in rows(tight)] == [row["mask_counts"] for row in rows(loose)]


def test_it_waits_for_no_run(tmp_path: Path, photos) -> None:
    store = Store.at(str(tmp_path))
    photos.run(store)
    with held_lock(store), pytest.raises(OutputLocked):
        compact(str(tmp_path))
    with pytest.raises(UsageError, match="holds no dataset"):
        compact(str(tmp_path / "nothing"))


def test_the_command_says_what_became_of_the_shards(tmp_path: Path, photos, capsys) -> None:
    photos.run(Store.at(str(tmp_path)))
    for arguments, said in (
        ([], "20 shards, "),
        ([], "nothing to compact: 1 shard, "),
        (["--json"], '{"shards_before": 1, "shards": 1, '),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["compact", str(tmp_path), *arguments])
        assert ended.value.code == 0
        out = capsys.readouterr().out
        assert out.startswith(said)
    assert json.loads(out)["bytes"] > 0
