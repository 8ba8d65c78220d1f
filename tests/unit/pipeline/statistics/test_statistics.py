"""The figures of a dataset agree with its rows and pixels."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from labelled_photos import labelled_photos
from pycocotools import mask as coco_mask

from pipeline.errors import DamagedFile, UsageError
from pipeline.output.commands.compact import compact
from pipeline.output.commands.retry import retry
from pipeline.output.dataset import Dataset
from pipeline.output.format.schema import SCHEMA
from pipeline.statistics.columns import COLUMNS, ColumnFigures
from pipeline.statistics.neighbours import count_near
from pipeline.statistics.repeats import Repeats
from pipeline.statistics.sample import sample_of
from pipeline.statistics.statistics import statistics
from pipeline.store.storage import Store


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("statistics")
    labelled_photos(str(folder / "photos"), str(folder / "masks"))
    return folder / "masks"


def rows_of(output: Path) -> list[dict[str, Any]]:
    return [row for row in Dataset.at(str(output)).table().to_pylist() if row["status"] == "ok"]


def test_all_figures_are_those_of_the_rows(output: Path) -> None:
    rows, seen = rows_of(output), []
    found = statistics(str(output), 1000, 0, lambda done, whole: seen.append((done, whole)))
    said = found.as_json()
    assert (said["images"], said["labelled"], said["left"]) == (8, 7, 0)
    assert said["failed"] == {"NOT_AN_IMAGE": 1}
    assert said["zero_masks"] == 1
    assert said["masks"] == sum(row["num_masks"] for row in rows)
    assert said["bytes_a_mask"] * said["masks"] == pytest.approx(
        sum(file.stat().st_size for file in output.glob("data/*.parquet"))
    )
    shares = [area / (row["width"] * row["height"]) for row in rows for area in row["mask_area"]]
    values = {
        "masks_an_image": [row["num_masks"] for row in rows],
        "area_share": shares,
        "predicted_iou": [score for row in rows for score in row["mask_predicted_iou"]],
        "stability_score": [score for row in rows for score in row["mask_stability_score"]],
    }
    for name, expected in values.items():
        assert said[name]["mean"] == pytest.approx(np.mean(expected))
        assert (said[name]["least"], said[name]["most"]) == (min(expected), max(expected))
        assert sum(said[name]["counts"]) == said[name]["number"] == len(expected)
    assert said["time"]["runs"] == 1
    assert 0 < said["time"]["total_s"] < 60
    assert seen[-1] == (8, 8)


def test_coverage_and_overlap_are_those_of_the_pixels(output: Path) -> None:
    covered, twice = [], []
    for row in rows_of(output):
        size = [row["height"], row["width"]]
        depth_HW = np.zeros(size, int)
        for counts in row["mask_counts"]:
            depth_HW += coco_mask.decode({"size": size, "counts": counts.encode()})
        covered.append((depth_HW > 0).mean())
        twice.append((depth_HW > 1).mean())
    pixels = statistics(str(output), 1000, 0).as_json()["pixels"]
    assert pixels["coverage"]["mean"] == pytest.approx(np.mean(covered))
    assert pixels["overlap"]["mean"] == pytest.approx(np.mean(twice))
    assert (pixels["images"], pixels["sampled"], pixels["seed"]) == (7, 8, 0)


def test_a_sample_is_of_its_size_and_of_its_seed(output: Path) -> None:
    dataset = Dataset.at(str(output))
    first, again, other = (sample_of(dataset, 4, seed).places for seed in (1, 1, 2))
    assert sum(map(len, first.values())) == 4
    assert {name: rows.tolist() for name, rows in first.items()} == {
        name: rows.tolist() for name, rows in again.items()
    }
    assert {name: rows.tolist() for name, rows in first.items()} != {
        name: rows.tolist() for name, rows in other.items()
    }
    for commit in dataset.commits:
        assert max(sample_of(dataset, 8, 0).places[commit.name]) == commit.rows - 1
    assert statistics(str(output), 4, 1).as_json()["pixels"]["sampled"] == 4
    assert statistics(str(output), 0, 1).as_json()["pixels"]["images"] == 0


def test_a_dataset_without_a_row_has_figures_too(tmp_path: Path, rehearsal) -> None:
    rehearsal(["a", "b"]).run(Store.at(str(tmp_path)), shards=0)
    found = statistics(str(tmp_path), 10, 0)
    assert (found.left, found.masks, found.as_json()["masks_an_image"]["least"]) == (2, 0, None)


def test_what_no_dataset_is_and_bad_numbers_are_one_sentence(tmp_path: Path, output: Path) -> None:
    with pytest.raises(UsageError, match="holds no dataset"):
        statistics(str(tmp_path), 10, 0)
    with pytest.raises(UsageError, match="--sample is -1"):
        statistics(str(output), -1, 0)


def rewritten(output: Path, name: str, column: Callable[[pa.Table], pa.Array]) -> None:
    """Replaces a column in each shard, and the size in its commit."""
    for shard in output.glob("data/*.parquet"):
        table = pq.ParquetFile(shard).read()
        kept = [one for one in table.column_names if one != name]
        pq.write_table(table.select(kept).append_column(name, column(table)), shard)
        commit = output / "_commits" / f"{shard.stem}.json"
        commit.write_text(json.dumps({**json.loads(commit.read_text()), "bytes": shard.stat().st_size}))


def test_unsound_counts_name_their_file_and_image(tmp_path: Path) -> None:
    labelled_photos(str(tmp_path / "photos"), str(tmp_path / "masks"), shards=1)
    rewritten(
        tmp_path / "masks",
        "mask_counts",
        lambda table: pa.array([["0"] * (number or 0) for number in table["num_masks"].to_pylist()]),
    )
    with pytest.raises(DamagedFile, match=r"r00001-000000.parquet .*a.jpg: the counts b'0' of mask 0 are"):
        statistics(str(tmp_path / "masks"), 10, 0)


def test_vectors_of_images_tell_near_duplicates(tmp_path: Path, output: Path) -> None:
    assert statistics(str(output), 0, 0).near is None
    shutil.copytree(output, tmp_path / "masks")
    kind = pa.list_(pa.float16(), 256)

    def vectors(table: pa.Table) -> pa.Array:
        """Equal vectors for a.jpg and sub/a.jpg; null for failed images."""
        names, ids, states = (table[name].to_pylist() for name in ("uri", "image_id", "status"))
        seeds = [0 if uri.endswith("/a.jpg") else int(name, 16) for uri, name in zip(names, ids, strict=True)]
        return pa.array(
            [vector(seed) if state == "ok" else None for seed, state in zip(seeds, states, strict=True)], kind
        )

    def vector(seed: int) -> np.ndarray:
        return np.random.default_rng(seed).normal(size=kind.list_size).astype(np.float16)

    rewritten(tmp_path / "masks", "image_embedding", vectors)
    found = statistics(str(tmp_path / "masks"), 0, 0).as_json()["near_duplicates"]
    assert found == {"images": 2, "sampled": 7, "similarity": 0.99}


def test_a_retry_keeps_the_time_of_the_run(tmp_path: Path) -> None:
    labelled_photos(str(tmp_path / "photos"), str(tmp_path / "masks"))
    before = statistics(str(tmp_path / "masks"), 0, 0)
    assert retry(str(tmp_path / "masks")) == 1
    after = statistics(str(tmp_path / "masks"), 0, 0)
    assert (after.left, after.time.runs) == (1, 1)
    assert after.time.total_s == pytest.approx(before.time.total_s, abs=1)


def test_of_a_run_whose_shards_were_put_together_the_whole_time_is_known_alone(tmp_path: Path) -> None:
    labelled_photos(str(tmp_path / "photos"), str(tmp_path / "masks"))
    before = statistics(str(tmp_path / "masks"), 0, 0).time
    assert before.total_s > before.unknown_s == 0
    compact(str(tmp_path / "masks"))
    after = statistics(str(tmp_path / "masks"), 0, 0).time
    assert after.unknown_s == after.total_s == pytest.approx(before.total_s, abs=0.01)


def test_figures_of_two_halves_make_those_of_the_whole() -> None:
    random = np.random.default_rng(0)
    table = _rows(random, 60)
    whole, one, two = ColumnFigures(), ColumnFigures(), ColumnFigures()
    whole.add(table)
    one.add(table.slice(0, 25))
    two.add(table.slice(25))
    one.merge(two)
    assert one.masks_an_image.as_json() == whole.masks_an_image.as_json()
    assert one.area_share.counts.tolist() == whole.area_share.counts.tolist()
    assert (one.rows, one.failed, one.zero_masks) == (whole.rows, whole.failed, whole.zero_masks)
    assert (one.same_etag.number, one.same_masks.number) == (whole.same_etag.number, whole.same_masks.number)
    assert whole.same_etag.number == 10
    assert whole.same_masks.number == 10


def test_equal_times_on_a_disk_are_no_duplicates() -> None:
    table = pa.Table.from_pylist(
        [_row(f"file:///{number}", "18ebfac7f0455081-11e41", [5]) for number in range(2)], schema=SCHEMA
    )
    figures = ColumnFigures()
    figures.add(table.select(COLUMNS))
    assert (figures.same_etag.things, figures.same_masks.number) == (0, 1)


def test_repeats_beyond_what_is_held_are_estimated() -> None:
    hashes = np.random.default_rng(0).integers(0, 2**63, 40_000).astype(np.uint64)
    exact, bounded = Repeats(), Repeats(most_held=5000)
    for part in (hashes, hashes[:10_000]):
        exact.add(part)
        bounded.add(part)
    assert (exact.number, exact.one_in) == (10_000, 1)
    assert bounded.one_in == 16
    assert bounded.number == pytest.approx(10_000, rel=0.15)


def test_near_duplicates_are_those_of_a_near_vector() -> None:
    random = np.random.default_rng(0)
    vectors_NC = random.normal(size=(1500, 32)).astype(np.float32)
    vectors_NC[1400] = vectors_NC[3] * 2
    vectors_NC[7] = 0
    vectors_NC[8] = 0
    assert count_near(vectors_NC) == 2


def _rows(random: np.random.Generator, count: int) -> pa.Table:
    """Rows of images; the last ten images are copies of the first ten."""
    rows = [
        _row(
            f"s3://bucket/{number}",
            f"{number % (count - 10):032x}"[::-1],
            np.random.default_rng(number % (count - 10)).integers(1, 1000, 1 + number % 5).tolist(),
        )
        for number in range(count)
    ]
    rows[20] = rows[20] | {"num_masks": 0, "mask_area": []} | {name: [] for name in _SCORES}
    rows[30] = rows[30] | dict.fromkeys(["num_masks", "mask_area", *_SCORES]) | {"error": "EMPTY"}
    return pa.Table.from_pylist(rows, schema=SCHEMA).select(COLUMNS)


_SCORES = ("mask_predicted_iou", "mask_stability_score")


def _row(uri: str, etag: str, areas: list[int]) -> dict[str, Any]:
    scores = [0.9 + area / 10_000 for area in areas]
    row = {"image_id": "0" * 32, "uri": uri, "etag": etag, "width": 40, "height": 30, "status": "ok"}
    return row | {"num_masks": len(areas), "mask_area": areas} | dict.fromkeys(_SCORES, scores)
