"""Each promise of a dataset is broken in turn; the message names the exact row."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rewritten_rows import rewrite

from pipeline.errors import DatasetInvalid, SamLabelError
from pipeline.output.commands.gc import collect
from pipeline.output.commands.retry import retry
from pipeline.output.commands.row_check import row_faults
from pipeline.output.commands.status import status
from pipeline.output.commands.validate import validate
from pipeline.output.commits import Commit, now
from pipeline.output.dataset import Dataset
from pipeline.output.format.manifest import manifest_row
from pipeline.output.format.names import commit_name
from pipeline.output.format.schema import table_of
from pipeline.output.lock import Holder, held_lock
from pipeline.output.process_identity import this_process
from pipeline.output.shards import read_shard
from pipeline.store.storage import Store

Row = dict[str, Any]


@pytest.fixture
def output(tmp_path: Path, rehearsal) -> Path:
    rehearsal([f"{number:02d}" for number in range(9)]).run(Store.at(str(tmp_path)))
    return tmp_path


@pytest.fixture
def masked(rehearsal) -> Row:
    """A valid row with two masks or more."""
    rows = (rehearsal([]).row(manifest_row(f"file:///{number}", 1, "1")) for number in range(100))
    return next(row for row in rows if row.get("num_masks", 0) > 1)


def test_a_sound_dataset_has_no_problem(output: Path) -> None:
    found = validate(str(output))
    assert found.is_valid
    assert found.problems == []
    assert (found.images, found.labelled + found.failed) == (9, 9)


def test_a_lost_row_is_named(output: Path) -> None:
    rewrite(output, lambda rows: rows[1:])
    assert validate(str(output)).problems == [
        "file:///photos/00 has no row; run the same sam-label run again"
    ]


def test_a_row_that_is_there_twice_is_named_with_both_shards(output: Path) -> None:
    other = Dataset.at(str(output)).commits[1]
    borrowed = pq.ParquetFile(output / other.shard).read().to_pylist()[0]
    shard = rewrite(output, lambda rows: [*rows, borrowed])
    assert validate(str(output)).problems == [
        f"file:///photos/03 has more than one row, one of them in {shard}",
        f"file:///photos/03 has more than one row, one of them in {other.shard}",
    ]


def test_a_row_of_no_image_is_named(output: Path, masked: Row) -> None:
    shard = rewrite(output, lambda rows: [*rows, masked])
    assert validate(str(output)).problems == [f"{masked['uri']} in {shard} is not in the manifest"]


@pytest.mark.parametrize("strange", ["ab" * 32, "ab" * 8, "x" * 32, ""])
def test_an_id_that_is_none_is_named_with_its_shard(output: Path, strange: str) -> None:
    shard = rewrite(output, lambda rows: [rows[0] | {"image_id": strange}, *rows[1:]])
    assert f"{shard} has an image_id that is not 32 hex characters (" in validate(str(output)).problems[0]


def test_broken_masks_are_named_with_image_and_shard(output: Path) -> None:
    def cut_off(rows: list[Row]) -> list[Row]:
        row = next(row for row in rows if row["num_masks"])
        row["mask_counts"][0] = row["mask_counts"][0][:-3]
        return rows

    shard = rewrite(output, cut_off)
    (problem,) = validate(str(output)).problems
    assert f" in {shard}: mask 0: its RLE " in problem


def test_a_damaged_shard_and_a_lost_one_are_told(output: Path) -> None:
    first, second, _ = Dataset.at(str(output)).commits
    (output / first.shard).write_bytes((output / first.shard).read_bytes()[:-100])
    (output / second.shard).unlink()
    problems = validate(str(output)).problems
    assert problems[0].startswith(f"file://{output}/{first.shard} is damaged (")
    assert problems[1].startswith(f"cannot read file://{output}/{second.shard}: No such file")
    assert problems[2:] == ["the rows of 6 images are missing, or are in 2 shards that cannot be read"]


def test_a_flipped_bit_anywhere_in_a_shard_is_told_or_changes_no_row(output: Path) -> None:
    dataset = Dataset.at(str(output))
    shard = output / dataset.commits[0].shard
    sound, rows = bytearray(shard.read_bytes()), dataset.table().to_pylist()
    told = 0
    for place in range(3, len(sound), 149):
        sound[place] ^= 1 << place % 8
        shard.write_bytes(sound)
        sound[place] ^= 1 << place % 8
        found = validate(str(output))
        told += not found.is_valid
        try:
            assert not found.is_valid or dataset.table().to_pylist() == rows
            assert sum(ids.size for ids in dataset.done_ids()) == 9  # what a run that goes on asks for
        except DatasetInvalid as fault:
            assert f"{shard} is damaged (" in str(fault)  # noqa: PT017  # allowed, not expected
    assert told > 10


def test_a_damaged_manifest_is_told(output: Path) -> None:
    part = next((output / "manifest").iterdir())
    part.write_bytes(part.read_bytes()[:-9])
    (problem,) = validate(str(output)).problems
    assert problem.startswith(f"file://{part} is damaged (")


@pytest.mark.parametrize("folder", ["_commits", "_runs"])
@pytest.mark.parametrize("content", ["{", "[]", '{"name": "x"}', '{"a newer version": 1}', "\udcff"])
def test_a_commit_or_record_that_is_not_ours_is_named(output: Path, folder: str, content: str) -> None:
    file = min((output / folder).iterdir())
    file.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(DatasetInvalid, match=rf"{file.name} is damaged \(it is not what this version"):
        validate(str(output))


def test_a_lost_commit_is_named(output: Path) -> None:
    collected = output / "data" / "r00001-000099.parquet"
    collected.write_bytes(b"x")
    collect(str(output))  # a run that starts from the commits of another
    lost = min((output / "_commits").iterdir())
    lost.unlink()
    with pytest.raises(DatasetInvalid, match=rf"that run r00002 counts is gone: .*{lost.name}"):
        validate(str(output))


def test_files_that_a_plain_glob_would_read_too_are_told(output: Path) -> None:
    (output / "data" / "r00001-000099.parquet").write_bytes(b"x")
    assert validate(str(output)).problems == [
        "data/r00001-000099.parquet is not part of the dataset; sam-label gc removes it"
    ]


def test_leftovers_of_a_killed_run_are_told_and_those_of_a_live_one_are_not(output: Path) -> None:
    (output / "data" / "r00002-000007.parquet").write_bytes(b"x")
    with held_lock(Store.at(str(output))):
        assert validate(str(output)).is_valid
        assert not status(str(output)).is_holder_dead
        me = replace(this_process(), started="0")  # this pid, before it was ours: a dead process
        dead = Holder(generation=3, process=me, word="w", taken_at=now())
        (output / "_lock" / "00003.json").write_bytes(dead.to_json())
        assert validate(str(output)).problem_count == 1
        assert status(str(output)).is_holder_dead


@pytest.mark.parametrize(
    ("lost", "images"), [(1, "file:///photos/00 has"), (3, "3 images, one of them file:///photos/00, have")]
)
def test_images_that_a_run_has_still_to_label_are_one_line(output: Path, lost: int, images: str) -> None:
    rewrite(output, lambda rows: rows[lost:])
    with held_lock(Store.at(str(output))):
        me = this_process()
        found = validate(str(output))
        assert found.problems == [
            f"{images} no row yet: process {me.pid} on {me.host} is writing; wait for it, or, if it was "
            "killed, run the same sam-label run again"
        ]
        assert found.problem_count == 1
    assert validate(str(output)).problem_count == lost


def test_a_dataset_that_changes_while_it_is_validated_is_not_called_invalid(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtaken(store: Store, commit: Commit) -> pa.Table:
        monkeypatch.undo()
        retry(str(output))
        return read_shard(store, commit)

    monkeypatch.setattr("pipeline.output.commands.validate.read_shard", overtaken)
    with pytest.raises(SamLabelError, match="was changed by run r00002 during validation; validate it again"):
        validate(str(output))


def test_another_fingerprint_in_dataset_json_or_in_a_shard_is_told(output: Path) -> None:
    said = output / "dataset.json"
    said.write_text(said.read_text().replace('"fingerprint": "', '"fingerprint": "x'))
    (problem,) = validate(str(output)).problems
    assert problem.startswith("dataset.json has the fingerprint x")
    collect(str(output))
    assert validate(str(output)).problems == []


def test_a_dataset_json_that_is_gone_is_written_again_by_the_command_that_is_named(output: Path) -> None:
    (output / "dataset.json").unlink()
    assert validate(str(output)).problems == ["dataset.json is not there; sam-label gc writes it again"]
    assert collect(str(output)).files == 0
    assert validate(str(output)).problems == []


def test_a_commit_that_counts_otherwise_is_told(output: Path) -> None:
    dataset = Dataset.at(str(output))
    path = output / commit_name(dataset.commits[0].name)
    path.write_text(path.read_text().replace('"rows": 3', '"rows": 2'))
    assert any("unlike its commit" in problem for problem in validate(str(output)).problems)


def broken(row: Row, **changes: Any) -> list[str]:
    return list(row_faults({**table_of([row]).to_pylist()[0], **changes}))


def test_each_rule_of_a_row(masked: Row) -> None:
    box, area, counts = masked["mask_bbox"], masked["mask_area"], masked["mask_counts"]
    assert broken(masked) == []
    assert "its image_id does not match its uri" in broken(masked, uri="file:///other")
    assert "neither ok nor failed" in broken(masked, status="done")[0]
    assert "has the error EMPTY" in broken(masked, error="EMPTY")[0]
    assert "its size is 0 x 8" in broken(masked, width=0)[0]
    assert "num_masks is 1" in broken(masked, num_masks=1)[0]
    assert "its area is" in broken(masked, mask_area=[area[0] + 1, *area[1:]])[0]
    assert "its box is" in broken(masked, mask_bbox=[[1.0, 1.0, 1.0, 1.0], *box[1:]])[0]
    assert "its RLE is broken" in broken(masked, mask_counts=["\x7f", *counts[1:]])[0]
    assert "the image has 8 x 9 = 72" in broken(masked, width=9)[0]
    assert "stability_score is nan" in broken(masked, mask_stability_score=[float("nan")] * len(area))[0]
    assert "is outside the image" in broken(masked, mask_point_coords=[[9.0, 1.0]] * len(area))[0]
    assert "is outside the image" in broken(masked, mask_crop_box=[[1.0, 0, 8, 8]] * len(area))[0]
    assert "not a known reason" in broken(masked, status="failed", error="BAD LUCK")[0]
    assert "it failed, but has masks" in broken(masked, status="failed", error="EMPTY")[0]


def test_only_the_damaged_row_of_many_is_named(tmp_path: Path, rehearsal) -> None:
    photos = rehearsal([f"{number:03d}" for number in range(600)])
    photos.shard_rows = 600
    photos.run(Store.at(str(tmp_path)))
    uris = []

    def moved(rows: list[Row]) -> list[Row]:
        row = [row for row in rows if row["num_masks"]][-1]
        row["mask_bbox"][0][0] += 1
        uris.append(row["uri"])
        return rows

    shard = rewrite(tmp_path, moved)
    (problem,) = validate(str(tmp_path)).problems
    assert problem.startswith(f"{uris[0]} in {shard}: mask 0: its box is [")


def test_a_fault_beside_sound_masks_is_named(output: Path) -> None:
    def placed(rows: list[Row]) -> list[Row]:
        row = next(row for row in rows if row["num_masks"])
        return [one | {"crs": "4326"} if one is row else one for one in rows]

    shard = rewrite(output, placed)
    (problem,) = validate(str(output)).problems
    assert problem.endswith(f" in {shard}: its crs is '4326', not EPSG: and a number")
