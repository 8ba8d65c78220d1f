"""README.md and croissant.json describe the dataset's contents after every command that changes it."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from demo_dataset import write_demo
from doc_blocks import blocks

from pipeline.config import FilterConfig
from pipeline.output import card
from pipeline.output.card import publish_card
from pipeline.output.card_text import card_text
from pipeline.output.commands.compact import compact
from pipeline.output.commands.filter import filtered_dataset
from pipeline.output.commands.gc import collect
from pipeline.output.commands.merge import merge
from pipeline.output.commands.retry import retry
from pipeline.output.croissant import croissant_text
from pipeline.output.dataset import Dataset
from pipeline.output.format.identity import Identity
from pipeline.store.storage import Store
from sam_core.options import MaskOptions

IMAGES = [f"{number:02d}.jpg" for number in range(12)]


def assert_true(output: str) -> str:
    """Asserts that the card describes the dataset as it is now; returns the card's text."""
    dataset = Dataset.at(output)
    texts = [dataset.store.read(name).decode() for name in ("README.md", "croissant.json")]
    assert texts == [card_text(dataset), croissant_text(dataset)]
    return texts[0]


def refreshed(photos: Any, output: str) -> None:
    photos.etags["file:///photos/new.jpg"] = "1"
    photos.run(Store.at(output), refresh=True)


def overwritten(photos: Any, output: str) -> None:
    photos.identity = Identity("vit_h", "1" * 64, MaskOptions(points_per_side=8))
    photos.run(Store.at(output), overwrite=True)


CHANGES: dict[str, Callable[[Any, str], object]] = {
    "run": lambda photos, output: photos.run(Store.at(output)),
    "retry": lambda photos, output: retry(output),
    "refresh": refreshed,
    "overwrite": overwritten,
    "compact": lambda photos, output: compact(output),
    "gc": lambda photos, output: collect(output),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_it_is_true_after_every_change(
    tmp_path: Path, rehearsal, change: Callable[[Any, str], object]
) -> None:
    photos, output = rehearsal(IMAGES), str(tmp_path)
    photos.run(Store.at(output), shards=2)
    before = assert_true(output)
    assert "| not labelled yet | 6 |" in before
    if change is CHANGES["gc"]:
        (tmp_path / "data" / "r00001-000099.parquet").write_bytes(b"left by a killed run")
    change(photos, output)
    assert assert_true(output) != before


def test_gc_writes_the_card_that_a_killed_run_has_not(tmp_path: Path, rehearsal) -> None:
    output = str(tmp_path)
    rehearsal(IMAGES).run(Store.at(output))
    (tmp_path / "README.md").unlink()
    assert collect(output).files == 0
    assert_true(output)
    names = sorted(path.name for path in tmp_path.glob("_runs/*"))
    assert names == ["r00001.json"], "a card alone is no change of the dataset"


def test_filtered_and_merged_datasets_have_theirs(tmp_path: Path, rehearsal) -> None:
    for name in ("one", "two"):
        photos = rehearsal([f"{name}-{image}" for image in IMAGES])
        photos.identity = Identity("vit_t", "0" * 64, MaskOptions(box_nms_thresh=1, crop_nms_thresh=1))
        photos.run(Store.at(str(tmp_path / name)))
    mask = MaskOptions(pred_iou_thresh=0.89)
    filtered_dataset(FilterConfig(input=str(tmp_path / "one"), output=str(tmp_path / "tight"), mask=mask))
    assert "0.89 (not the default)" in assert_true(str(tmp_path / "tight"))
    merge([str(tmp_path / "one"), str(tmp_path / "two")], str(tmp_path / "both"))
    assert "| images | 24 |" in assert_true(str(tmp_path / "both"))


def test_a_file_without_the_marker_is_left_alone(tmp_path: Path, rehearsal) -> None:
    photos, store = rehearsal(IMAGES), Store.at(str(tmp_path))
    (tmp_path / "README.md").write_text("mine")
    photos.run(store, shards=1)
    (tmp_path / "croissant.json").write_text("{}")
    photos.run(store)
    photos.run(store, overwrite=True)
    collect(str(tmp_path))
    assert (tmp_path / "README.md").read_text() == "mine"
    assert (tmp_path / "croissant.json").read_text() == "{}"


def test_one_that_cannot_be_written_is_a_warning(
    tmp_path: Path, rehearsal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "README.md").mkdir()
    monkeypatch.setitem(card._TEXTS, "croissant.json", lambda dataset: 1 / 0)
    with caplog.at_level(logging.WARNING):
        rehearsal(IMAGES).run(Store.at(str(tmp_path)))
    assert Dataset.at(str(tmp_path)).is_complete
    for name in ("README.md", "croissant.json"):
        assert f"{name} could not be written" in caplog.text


def test_it_costs_no_look_into_shards(tmp_path: Path, rehearsal) -> None:
    rehearsal(IMAGES).run(Store.at(str(tmp_path)))
    dataset = Dataset.at(str(tmp_path))
    for shard in tmp_path.glob("data/*"):
        shard.unlink()
    (tmp_path / "README.md").unlink()
    publish_card(dataset)
    assert (tmp_path / "README.md").exists()


def test_a_hostile_input_stays_in_its_line(tmp_path: Path, rehearsal) -> None:
    photos = rehearsal(IMAGES)
    photos.source = "file:///photos`|\n---\n<script>x</script>"
    photos.run(Store.at(str(tmp_path / "my `masks` | 1")))
    text = (tmp_path / "my `masks` | 1" / "README.md").read_text()
    (line,) = (line for line in text.splitlines() if "<script>" in line)
    assert line.startswith("    input ")
    header = yaml.safe_load(text.split("---\n")[1])
    assert header["pretty_name"] == "my-masks-1"
    assert header["configs"][0]["data_files"] == [{"split": "train", "path": "data/*.parquet"}]


def test_its_snippet_loads_the_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_demo(str(tmp_path))
    (snippet,) = (block for block in blocks(tmp_path / "README.md") if block.language == "python")
    assert len(snippet.text.strip().splitlines()) == 5
    monkeypatch.chdir(tmp_path)
    exec(snippet.text, {})  # noqa: S102  the card's own text
    assert "coffee.jpg" in capsys.readouterr().out


def test_mlcroissant_finds_nothing_wrong_and_loads_the_rows(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import mlcroissant

    write_demo(str(tmp_path))
    with caplog.at_level(logging.WARNING):
        read = mlcroissant.Dataset(str(tmp_path / "croissant.json"))
    assert (read.metadata.ctx.issues.errors, read.metadata.ctx.issues.warnings) == (set(), set())
    assert caplog.text == ""
    records = list(read.records("images"))
    rows = Dataset.at(str(tmp_path)).table().to_pylist()
    assert [record["images/uri"].decode() for record in records] == [row["uri"] for row in rows]
    assert records[0]["images/mask_bbox"] == rows[0]["mask_bbox"]
    assert [one.decode() for one in records[0]["images/mask_counts"]] == rows[0]["mask_counts"]
    assert json.loads((tmp_path / "croissant.json").read_text())["version"] == "1.1.0"
