"""Resume, retry, refresh, overwrite: what a dataset holds after each."""

import json
import logging
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dataset_rows import globbed

from pipeline.errors import DamagedFile, Reason, SamLabelError, UsageError
from pipeline.output.commands.gc import collect
from pipeline.output.commands.retry import retry
from pipeline.output.commands.status import status
from pipeline.output.commands.validate import validate
from pipeline.output.commits import Commit, RunRecord, live_commits
from pipeline.output.dataset import Dataset
from pipeline.output.format.identity import Identity
from pipeline.output.format.manifest import image_id
from pipeline.output.ids import is_among, packed_ids
from pipeline.output.shards import read_shard
from pipeline.store.storage import Store
from sam_core import __version__
from sam_core.options import MaskOptions

NAMES = [f"{number:02d} é%.jpg" for number in range(20)]


def files_below(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_an_interrupted_run_is_resumed_to_what_an_undisturbed_one_gives(tmp_path: Path, rehearsal) -> None:
    photos, store = rehearsal(NAMES), Store.at(str(tmp_path))
    photos.run(store, shards=2)
    assert status(str(tmp_path)).left == 14
    photos.run(store, shards=1)
    photos.run(store)
    assert globbed(tmp_path) == photos.rows()
    assert validate(str(tmp_path)).problems == []
    table = Dataset.at(str(tmp_path)).table(["uri", "status"])
    assert sorted(table["uri"].to_pylist()) == [row["uri"] for row in photos.rows()]


def test_the_input_is_listed_once_and_then_frozen(tmp_path: Path, rehearsal) -> None:
    photos, store = rehearsal(NAMES[:5]), Store.at(str(tmp_path))
    photos.run(store, shards=1)
    photos.etags["file:///photos/new.jpg"] = "1"
    photos.run(store)
    assert Dataset.at(str(tmp_path)).is_complete
    assert Dataset.at(str(tmp_path)).images == 5


def test_a_dataset_is_its_snapshot_while_a_run_goes_on(tmp_path: Path, rehearsal) -> None:
    photos, store = rehearsal(NAMES), Store.at(str(tmp_path))
    photos.run(store, shards=1)
    before = Dataset.in_store(store)
    photos.run(store)
    assert before.table().num_rows == 3
    assert Dataset.in_store(store).table().num_rows == 20


def test_retry_takes_the_failed_rows_out_and_the_next_run_does_them(tmp_path: Path, rehearsal) -> None:
    photos, store = rehearsal(NAMES), Store.at(str(tmp_path))
    photos.run(store)
    failed = Dataset.in_store(store).failed_by_reason
    assert set(failed) == {"CORRUPT", "EMPTY"}
    assert retry(str(tmp_path), [Reason.EMPTY]) == failed["EMPTY"]
    assert Dataset.in_store(store).failed_by_reason == {"CORRUPT": failed["CORRUPT"]}
    assert len(globbed(tmp_path)) == 20 - failed["EMPTY"]
    photos.run(store)
    assert globbed(tmp_path) == photos.rows()
    assert retry(str(tmp_path)) == sum(failed.values())
    assert retry(str(tmp_path)) == 0
    assert retry(str(tmp_path), [Reason.TOO_LARGE]) == 0


def test_refresh_adds_new_images_labels_changed_ones_again_and_says_so(
    tmp_path: Path, rehearsal, caplog: pytest.LogCaptureFixture
) -> None:
    photos, store = rehearsal(NAMES), Store.at(str(tmp_path))
    photos.run(store)
    first, second, third = list(photos.etags)[:3]
    photos.etags |= {first: "2", second: "2", "file:///photos/zz.jpg": "1"}
    gone = photos.etags.pop(third)
    with caplog.at_level(logging.INFO):
        photos.run(store, refresh=True)
    assert "1 new images, 2 changed (2 rows to label again), 1 gone from the input but kept" in caplog.text
    photos.etags[third] = gone
    assert globbed(tmp_path) == photos.rows()
    assert validate(str(tmp_path)).problems == []


def test_overwrite_starts_anew_and_needs_no_equal_settings(tmp_path: Path, rehearsal) -> None:
    store = Store.at(str(tmp_path))
    rehearsal(NAMES).run(store)
    other = rehearsal(NAMES[:4])
    other.identity = Identity("vit_t", "1" * 64, MaskOptions())
    other.run(store, overwrite=True)
    assert globbed(tmp_path) == other.rows()
    assert validate(str(tmp_path)).problems == []


@pytest.mark.parametrize("folder", ["_commits", "_runs", "data"])
def test_overwrite_starts_anew_over_a_damaged_file_too(tmp_path: Path, rehearsal, folder: str) -> None:
    photos, store = rehearsal(NAMES[:4]), Store.at(str(tmp_path))
    photos.run(store)
    min((tmp_path / folder).iterdir()).write_bytes(b"{")
    with pytest.raises(DamagedFile):
        photos.run(store)
    photos.run(store, overwrite=True)
    assert globbed(tmp_path) == photos.rows()


def test_an_output_that_can_only_be_read_is_refused(rehearsal) -> None:
    with pytest.raises(UsageError, match="https://bucket/masks can only be read; name a folder"):
        rehearsal(NAMES).run(Store.at("https://bucket/masks"))


def test_other_settings_are_refused_with_the_difference(tmp_path: Path, rehearsal) -> None:
    photos, store = rehearsal(NAMES[:4]), Store.at(str(tmp_path))
    photos.run(store)
    before = files_below(tmp_path)
    photos.identity = Identity("vit_b", "1" * 64, MaskOptions(points_per_side=16))
    with pytest.raises(
        UsageError, match=r"made with model sha256 0{12} \(vit_t\).*points_per_side 32, not 16"
    ):
        photos.run(store)
    assert files_below(tmp_path) == before


def test_shards_without_the_columns_that_were_added_later_are_read(tmp_path: Path, rehearsal) -> None:
    photos, store = rehearsal(NAMES), Store.at(str(tmp_path))
    photos.run(store, shards=1)
    (shard,) = (tmp_path / "data").iterdir()
    old = pq.read_table(shard)
    pq.write_table(
        old.drop_columns(["pixel_scale", "pixel_range", "source_id", "extra"]),
        shard,
        write_page_checksum=True,
    )
    (commit,) = (tmp_path / "_commits").iterdir()
    kept = json.loads(commit.read_text()) | {"bytes": shard.stat().st_size}
    commit.write_text(json.dumps({name: kept[name] for name in kept if name not in ("deep", "narrow")}))
    photos.run(store)
    dataset = Dataset.in_store(store)
    assert validate(str(tmp_path)).problems == []
    assert dataset.table(["uri", "pixel_scale", "extra"]).num_rows == len(NAMES)
    assert set(dataset.table()["pixel_range"].to_pylist()) == {None}


def test_settings_that_change_no_mask_are_not_compared(tmp_path: Path, rehearsal) -> None:
    photos, store = rehearsal(NAMES[:4]), Store.at(str(tmp_path))
    photos.run(store, shards=1)
    photos.identity = Identity("vit_t", "0" * 64, MaskOptions(points_per_batch=7))
    photos.run(store)
    assert Dataset.in_store(store).is_complete


def test_an_output_that_holds_other_files_is_refused(tmp_path: Path, rehearsal) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    before = files_below(tmp_path)
    for overwrite in (False, True):
        with pytest.raises(UsageError, match=r"holds other files \(holiday\.jpg\)"):
            rehearsal(NAMES).run(Store.at(str(tmp_path)), overwrite=overwrite)
    assert files_below(tmp_path) == before


def test_a_dataset_without_a_row_is_begun_anew_by_other_settings(tmp_path: Path, rehearsal) -> None:
    photos, store = rehearsal(NAMES[:4]), Store.at(str(tmp_path))
    photos.run(store, shards=0)
    other = rehearsal(NAMES[2:6])
    other.identity = Identity("vit_b", "1" * 64, MaskOptions())
    other.run(store)
    assert globbed(tmp_path) == other.rows()
    assert validate(str(tmp_path)).problems == []


def test_an_output_that_cannot_be_written_is_told_in_one_sentence(tmp_path: Path, rehearsal) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"the output cannot be used: .*Not a directory; name a place"):
        rehearsal(NAMES).run(Store.at(str(tmp_path / "file" / "out")))


def test_gc_removes_leftovers_and_else_writes_nothing(tmp_path: Path, rehearsal) -> None:
    photos, store = rehearsal(NAMES), Store.at(str(tmp_path))
    photos.run(store)
    lock_only = {path for path in files_below(tmp_path) if "_lock" not in path}
    assert collect(str(tmp_path)).files == 0
    assert {path for path in files_below(tmp_path) if "_lock" not in path} == lock_only
    shard = Dataset.in_store(store).commits[0]
    (tmp_path / "data" / "r00001-000099.parquet").write_bytes(store.read(shard.shard))
    (tmp_path / "data" / ".tmp-r00001-000098.parquet-0123abcd").write_bytes(b"half")
    (tmp_path / "data" / "mine.parquet").write_bytes(b"not sam-label's to remove")
    assert collect(str(tmp_path)).files == 2
    (tmp_path / "data" / "mine.parquet").unlink()
    assert globbed(tmp_path) == photos.rows()


def test_a_reader_whose_shard_was_replaced_is_told(tmp_path: Path, rehearsal) -> None:
    photos, store = rehearsal(NAMES), Store.at(str(tmp_path))
    photos.run(store)
    before = Dataset.in_store(store)
    retry(str(tmp_path))
    with pytest.raises(SamLabelError, match="open the dataset again"):
        before.table()


def test_so_is_one_whose_manifest_was_replaced(tmp_path: Path, rehearsal) -> None:
    photos, store = rehearsal(NAMES), Store.at(str(tmp_path))
    photos.run(store)
    before = Dataset.in_store(store)
    photos.run(store, refresh=True)
    for read in (before.manifest, before.pending):
        with pytest.raises(SamLabelError, match=r"run r00002 has replaced .*manifest/r00001-00000\.parquet"):
            list(read())


def test_a_reader_that_meets_a_retry_gets_the_dataset_after_it(
    tmp_path: Path, rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, store = rehearsal(NAMES), Store.at(str(tmp_path))
    photos.run(store)

    def overtaken(store: Store, record: RunRecord, known: Sequence[Commit]) -> list[Commit]:
        monkeypatch.undo()
        retry(str(tmp_path))  # between a reader's look at the record and at the commits
        return live_commits(store, record, known)

    monkeypatch.setattr("pipeline.output.dataset.live_commits", overtaken)
    found = Dataset.in_store(store)
    assert found.record.purpose == "retry"
    assert found.table().num_rows == found.rows < 20


def test_a_run_reads_each_commit_no_more_than_once(
    tmp_path: Path, rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, store = rehearsal(NAMES), Store.at(str(tmp_path))
    photos.run(store, shards=4)
    reads, read = Counter[str](), Store.read

    def counted(store: Store, name: str) -> bytes:
        reads[name] += name.startswith("_commits/")
        return read(store, name)

    monkeypatch.setattr(Store, "read", counted)
    photos.run(store)
    assert sorted(set(reads.values())) == [0, 1]
    assert reads.total() == 4 + 3


def test_the_ids_of_many_shards_are_read_side_by_side(
    tmp_path: Path, rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, store = rehearsal(NAMES), Store.at(str(tmp_path))
    photos.run(store)
    all_of_them = Barrier(len(Dataset.in_store(store).commits), timeout=60)

    def together(store: Store, commit: Commit, columns: Sequence[str], groups: None) -> pa.Table:
        all_of_them.wait()
        return read_shard(store, commit, columns, groups)

    monkeypatch.setattr("pipeline.output.dataset.read_shard", together)
    ids = packed_ids(pa.chunked_array([[image_id(uri) for uri in photos.etags]]))
    (done,) = Dataset.in_store(store).done_ids()
    assert sorted(done.tolist()) == sorted(ids.tolist())


@pytest.mark.parametrize(
    "options",
    [
        {"tile_size": 32, "crop_n_layers": 1},
        {"stability_score_offset": float("inf")},
        {"min_mask_region_area": 10**20},
    ],
)
def test_a_dataset_made_with_options_that_are_refused_by_now_is_read(
    tmp_path: Path, rehearsal, options: dict[str, float]
) -> None:
    photos, store = rehearsal(NAMES), Store.at(str(tmp_path))
    photos.identity = Identity("vit_t", "0" * 64, MaskOptions.of_record(options))
    photos.run(store)
    assert Dataset.in_store(store).identity == photos.identity
    assert validate(str(tmp_path)).is_valid


def test_the_next_record_says_what_is_new_of_its_run(tmp_path: Path, rehearsal) -> None:
    photos, store = rehearsal(NAMES), Store.at(str(tmp_path))
    photos.run(store)
    before = replace(Dataset.in_store(store).record, software_version="0.0.1", settings={"a": 1})
    grown, shrunk = before.next("r00009", "gc", ["x"]), before.next("r00009", "retry", [], only_grows=False)
    assert before.ended
    assert (grown.run, grown.purpose, grown.started_from, grown.settings) == ("r00009", "gc", ("x",), {})
    assert grown.software_version == __version__
    assert grown.made_with == before.made_with
    assert grown.started_at >= before.started_at
    assert grown.ended is None
    assert (grown.manifest, grown.images, grown.input) == (before.manifest, before.images, before.input)
    assert (grown.grown_since, shrunk.grown_since[:10]) == (before.grown_since, "r00009 at ")


def test_readers_need_neither_ray_nor_torch() -> None:
    code = (
        "import sys, pipeline.output.dataset, pipeline.output.commands.validate\n"
        "print({'ray', 'torch'} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"


def test_ids_are_found_among_sorted_ones_also_where_they_end_in_zeros() -> None:
    hexes = ["00" * 16, "ab" * 15 + "00", "ab" * 16, image_id("file:///x")]
    ids = packed_ids(pa.chunked_array([hexes]))
    some = ids[:2].copy()
    some.sort()
    assert is_among(ids, some).tolist() == [True, True, False, False]
    assert is_among(ids, some[:0]).tolist() == [False] * 4
