"""Every promise of a dataset broken in turn, and told with the exact row."""

import io
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.commits import Commit, commit_name
from pipeline.dataset import Dataset
from pipeline.manifest import manifest_row
from pipeline.row_check import row_faults
from pipeline.schema import table_of
from pipeline.storage import Store
from pipeline.validate import validate

Row = dict[str, Any]


@pytest.fixture
def output(tmp_path: Path, rehearsal) -> Path:
    rehearsal([f"{number:02d}" for number in range(9)]).run(Store.at(str(tmp_path)))
    return tmp_path


@pytest.fixture
def masked(rehearsal) -> Row:
    """A sound row with two masks or more."""
    rows = (rehearsal([]).row(manifest_row(f"file:///{number}", 1, "1")) for number in range(100))
    return next(row for row in rows if row.get("num_masks", 0) > 1)


def rewrite(output: Path, change: Callable[[list[Row]], list[Row]]) -> str:
    """The first shard, with its rows changed and its commit to match."""
    dataset = Dataset.at(str(output))
    commit = dataset.commits[0]
    old = pq.ParquetFile(io.BytesIO(dataset.store.read(commit.shard))).read()
    table = table_of(change(old.to_pylist())).replace_schema_metadata(old.schema.metadata)
    body = io.BytesIO()
    pq.write_table(table, body)
    dataset.store.publish(commit.shard, body.getvalue())
    told = Commit.of(commit.name, table, len(body.getvalue()))
    dataset.store.publish(commit_name(commit.name), json.dumps(asdict(told)).encode())
    return commit.shard


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
    assert validate(str(output)).problems == [f"{masked['uri']} in {shard} is no image of the manifest"]


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
    assert problems[0].startswith(f"{first.shard} cannot be read")
    assert problems[1].startswith(f"{second.shard} cannot be read")
    assert len(problems) == 2 + 6  # and the images that they held


def test_files_that_a_plain_glob_would_read_too_are_told(output: Path) -> None:
    (output / "data" / "r00001-000099.parquet").write_bytes(b"x")
    assert validate(str(output)).problems == [
        "data/r00001-000099.parquet is no part of the dataset; sam-label gc removes it"
    ]


def test_another_fingerprint_in_dataset_json_or_in_a_shard_is_told(output: Path) -> None:
    said = output / "dataset.json"
    said.write_text(said.read_text().replace('"fingerprint": "', '"fingerprint": "x'))
    (problem,) = validate(str(output)).problems
    assert problem.startswith("dataset.json has the fingerprint x")


def test_a_commit_that_counts_otherwise_is_told(output: Path) -> None:
    dataset = Dataset.at(str(output))
    path = output / commit_name(dataset.commits[0].name)
    path.write_text(path.read_text().replace('"rows": 3', '"rows": 2'))
    assert any("its commit says otherwise" in problem for problem in validate(str(output)).problems)


def broken(row: Row, **changes: Any) -> list[str]:
    return list(row_faults({**table_of([row]).to_pylist()[0], **changes}))


def test_each_rule_of_a_row(masked: Row) -> None:
    box, area, counts = masked["mask_bbox"], masked["mask_area"], masked["mask_counts"]
    assert broken(masked) == []
    assert "its image_id is not that of its uri" in broken(masked, uri="file:///other")
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
    assert "none of the known reasons" in broken(masked, status="failed", error="BAD LUCK")[0]
    assert "it failed, and has masks" in broken(masked, status="failed", error="EMPTY")[0]
