"""Merging datasets of one identity: every image once, from the first dataset that has it."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from dataset_rows import rows

from jobs.cli import main
from jobs.status_text import status_text
from pipeline.errors import UsageError
from pipeline.export.export import exported
from pipeline.export_config import ExportConfig
from pipeline.output.commands.merge import merge
from pipeline.output.commands.retry import retry
from pipeline.output.commands.status import status
from pipeline.output.commands.validate import validate
from pipeline.output.dataset import Dataset
from pipeline.output.format.duplicates import Duplicate
from pipeline.output.format.identity import Identity
from pipeline.output.format.manifest import image_id
from pipeline.output.writer import Listing, open_output
from pipeline.statistics.statistics import statistics
from pipeline.store.storage import Store
from sam_core.options import MaskOptions

FIRST = [f"{number:02d}" for number in range(10)]
SECOND = [f"{number:02d}" for number in range(7, 20)]


@pytest.fixture
def two(tmp_path: Path, rehearsal) -> tuple[Path, Path]:
    """Two datasets; three images are in both, one of them in two versions."""
    first, second = rehearsal(FIRST), rehearsal(SECOND)
    second.etags["file:///photos/08"] = "2"
    first.run(Store.at(str(tmp_path / "first")))
    second.run(Store.at(str(tmp_path / "second")))
    return tmp_path / "first", tmp_path / "second"


def merged_rows(datasets: Sequence[Path]) -> list[dict]:
    """The merged rows, found in the slow and simple way."""
    by_uri: dict[str, dict] = {}
    for dataset in datasets:
        for row in rows(dataset):
            by_uri.setdefault(row["uri"], row)
    return sorted(by_uri.values(), key=lambda row: row["uri"])


@pytest.mark.parametrize("order", [1, -1])
def test_every_image_has_the_row_of_the_first_that_has_it(two, tmp_path: Path, order: int) -> None:
    result = merge([str(path) for path in two[::order]], str(tmp_path / "both"))
    assert rows(tmp_path / "both") == merged_rows(two[::order])
    assert (result.images, result.rows, result.held_twice) == (20, 20, 3)
    assert validate(str(tmp_path / "both")).problems == []


def test_it_goes_on_and_takes_what_has_come_since(rehearsal, tmp_path: Path) -> None:
    first, second = rehearsal(FIRST), rehearsal(SECOND)
    places = [str(tmp_path / name) for name in ("first", "second")]
    first.run(Store.at(places[0]), shards=2)
    second.run(Store.at(places[1]), shards=1)
    both = tmp_path / "both"
    assert merge(places, str(both)).rows == 6 + 3 - len({*FIRST[:6]} & {*SECOND[:3]})
    first.run(Store.at(places[0]))
    second.run(Store.at(places[1]))
    assert merge(places, str(both)).rows == 20
    assert {row["uri"] for row in rows(both)} == {f"file:///photos/{name}" for name in {*FIRST, *SECOND}}
    record = Dataset.at(str(both)).record
    assert merge(places, str(both)).rows == 20
    assert Dataset.at(str(both)).record.started_from == tuple(c.name for c in Dataset.at(str(both)).commits)
    assert Dataset.at(str(both)).record.manifest == record.manifest
    assert retry(places[0]) > 0
    first.run(Store.at(places[0]))
    with pytest.raises(UsageError, match=r"begins another set of rows\); name another output"):
        merge(places, str(both))
    merge(places, str(both), overwrite=True)
    assert validate(str(both)).problems == []


def test_a_duplicate_is_told_once_and_not_if_a_dataset_has_its_row(rehearsal, tmp_path: Path) -> None:
    june, july = rehearsal(["a", "b"]), rehearsal(["b", "c", "y"])
    others = {"june": [("x", "a"), ("y", "b")], "july": [("x", "b"), ("z", "c")]}
    for name, photos in ("june", june), ("july", july):
        found = [Duplicate(f"file:///photos/{x}", image_id(f"file:///photos/{y}")) for x, y in others[name]]
        listing = Listing(photos.source, photos.listing, found.copy)
        with open_output(Store.at(str(tmp_path / name)), photos.identity, listing) as output:
            photos.label(output)
    merge([str(tmp_path / name) for name in others], str(tmp_path / "both"))
    both = Dataset.at(str(tmp_path / "both"))
    assert [one for table in both.duplicates() for one in table.to_pylist()] == [
        {"uri": "file:///photos/x", "image_id": image_id("file:///photos/a")},
        {"uri": "file:///photos/z", "image_id": image_id("file:///photos/c")},
    ]
    assert (both.images, both.record.duplicate_images) == (4, 2)
    assert validate(str(tmp_path / "both")).problems == []


@pytest.mark.parametrize(
    ("inputs", "output", "sentence"),
    [
        (["first", "other"], "both", r"other was made with points_per_side 8, not 32 as .*first; only"),
        (["first"], "both", "needs two datasets or more"),
        (["first", "first"], "both", "each named once"),
        (["first", "second"], "first", "is inside the other"),
        (["first", "nothing"], "both", "nothing holds no dataset"),
    ],
)
def test_what_does_not_go_together_is_refused(
    two, rehearsal, tmp_path: Path, inputs: list[str], output: str, sentence: str
) -> None:
    other = rehearsal(FIRST)
    other.identity = Identity("vit_t", "0" * 64, MaskOptions(points_per_side=8))
    other.run(Store.at(str(tmp_path / "other")))
    with pytest.raises(UsageError, match=sentence):
        merge([str(tmp_path / name) for name in inputs], str(tmp_path / output))
    assert not (tmp_path / "both").exists()


def test_failed_images_of_two_inputs_are_retried_where_a_run_can_label_them(
    tmp_path: Path, rehearsal
) -> None:
    for folder in ("cats", "dogs"):
        photos = rehearsal(FIRST[:6])
        photos.source = f"file:///photos/{folder}"
        photos.etags = {f"{photos.source}/{name}": "1" for name in FIRST[:6]}
        photos.run(Store.at(str(tmp_path / folder)), shards=1 if folder == "dogs" else None)
    both = str(tmp_path / "both")
    merge([str(tmp_path / "cats"), str(tmp_path / "dogs")], both)
    before = status(both)
    assert before.failed > 0
    assert before.left > 0
    with pytest.raises(
        UsageError, match=r"both was merged from datasets of several inputs, .* retry and run those"
    ):
        retry(both)
    assert status(both) == before
    assert status_text(before, both).endswith("next: the same sam-label merge goes on")
    assert validate(both).problems[0].endswith("then run the same sam-label merge again")
    assert statistics(both, 0, 0).time.runs == 0  # nobody has labelled there


def test_datasets_of_two_inputs_are_exported_under_names_that_differ(tmp_path: Path, rehearsal) -> None:
    for folder in ("cats", "dogs"):
        photos = rehearsal([])
        photos.etags = {f"file:///photos/{folder}/a.jpg": "1", f"file:///photos/{folder}/b.jpg": "1"}
        photos.source = f"file:///photos/{folder}"
        photos.run(Store.at(str(tmp_path / folder)))
    merge([str(tmp_path / "cats"), str(tmp_path / "dogs")], str(tmp_path / "both"))
    assert Dataset.at(str(tmp_path / "both")).record.inputs == ["file:///photos/cats", "file:///photos/dogs"]
    exported(ExportConfig(output=str(tmp_path / "both"), dest=str(tmp_path / "coco.json")))
    images = json.loads((tmp_path / "coco.json").read_text())["images"]
    ok = [row["uri"] for row in rows(tmp_path / "both") if row["status"] == "ok"]
    assert sorted(image["file_name"] for image in images) == [
        uri.removeprefix("file:///photos/") for uri in ok
    ]


def test_the_command_says_what_it_left_out(two, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["merge", *map(str, two), str(tmp_path / "both")])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "20 images, " in out
    assert "3 rows left out: a dataset named earlier has the image" in out
