"""A list's ids and columns in a dataset: through runs, refreshes, merges, filters, readers and exports."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from labelled_photos import labelled_listing

from pipeline.config import FilterConfig, RunConfig
from pipeline.errors import ImageError, Reason, UsageError
from pipeline.export.export import exported
from pipeline.export_config import ExportConfig
from pipeline.images.fetch import ALWAYS_FETCHED_BYTES, FetchSettings, fetched
from pipeline.inputs.options import SourceOptions
from pipeline.inputs.source import Source
from pipeline.output.commands.compact import compact
from pipeline.output.commands.filter import filtered_dataset
from pipeline.output.commands.merge import merge
from pipeline.output.commands.validate import validate
from pipeline.output.dataset import Dataset as Snapshot
from pipeline.output.format.manifest import image_id
from pipeline.plan import plan, refuse_other_listing
from pipeline.reading.dataset import Dataset
from pipeline.reading.named import record_named
from pipeline.store.settings import DEFAULT_ACCESS
from sam_core.options import MaskOptions

WITH_IDS = SourceOptions(id_column="key", keep_columns="split,n")
LIST = "uri,key,split,n\nphotos/a.jpg,x,train,1\nphotos/sub/a.png,y,val,2\nphotos/sub/broken.jpg,z,,3\n"

Labelled = Callable[..., str]


@pytest.fixture
def labelled(tmp_path: Path) -> Labelled:
    """A function that labels a CSV list into an output, and returns the output's path."""

    def label(name: str, text: str, options: SourceOptions = WITH_IDS, **how: Any) -> str:
        (tmp_path / "list.csv").write_text(text)
        source = Source.at(str(tmp_path / "list.csv"), options)
        labelled_listing(source, str(tmp_path / "photos"), str(tmp_path / name), **how)
        return str(tmp_path / name)

    return label


def said_of(output: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """For each id, the end of the uri and the kept columns."""
    return {str(one.source_id): (one.uri.rpartition("/")[2], one.extra) for one in Dataset.open(output)}


KEPT = {
    "x": ("a.jpg", {"split": "train", "n": "1"}),
    "y": ("a.png", {"split": "val", "n": "2"}),
    "z": ("broken.jpg", {"split": "", "n": "3"}),
}


def test_ids_and_columns_go_along(labelled: Labelled, tmp_path: Path) -> None:
    masks = labelled("masks", LIST)
    assert said_of(masks) == KEPT
    filtered = FilterConfig(input=masks, output=f"{masks}-f", mask=MaskOptions(pred_iou_thresh=0.9))
    filtered_dataset(filtered)
    other = labelled("other", "uri,key,split,n\nphotos/sub/a.jpg,y,val,9\nphotos/z.webp,v,val,8\n")
    merged = merge([masks, other], f"{masks}-m")
    assert (merged.images, merged.held_twice) == (4, 1), "an id is one image, wherever it lies"
    compact(f"{masks}-m")
    assert said_of(f"{masks}-f") == KEPT
    assert said_of(f"{masks}-m") == {**KEPT, "v": ("z.webp", {"split": "val", "n": "8"})}
    for output in (masks, f"{masks}-f", f"{masks}-m"):
        assert validate(output).problems == []
        assert Snapshot.at(output).is_complete

    record = record_named(Dataset.open(masks), "y")
    assert record.image_id == image_id("y")
    assert record_named(Dataset.open(masks), "a.png").uri == record.uri
    assert record_named(Dataset.open(masks), record.uri).source_id == "y"
    assert record.image.shape == (32, 48, 3)

    exported(ExportConfig(output=masks, dest=str(tmp_path / "coco.json")))
    images = json.loads((tmp_path / "coco.json").read_text())["images"]
    assert [(one["file_name"], one["source_id"], one["extra"]) for one in images] == [
        ("photos/a.jpg", "x", KEPT["x"][1]),
        ("photos/sub/a.png", "y", KEPT["y"][1]),
    ]


def test_a_refresh_takes_new_images_and_those_whose_id_has_moved(labelled: Labelled) -> None:
    masks = labelled("masks", LIST)
    moved = LIST.replace("photos/a.jpg,x", "photos/z.webp,x") + "photos/none.png,w,train,4\n"
    labelled("masks", moved, refresh=True)
    counts = Snapshot.at(masks).record.settings["found"]
    assert counts == {"added": 1, "changed": 1, "gone": 0}
    assert said_of(masks)["x"] == ("z.webp", {"split": "train", "n": "1"})
    assert set(said_of(masks)) == {"w", "x", "y", "z"}
    assert validate(masks).problems == []


def test_a_dataset_keeps_to_its_ids(labelled: Labelled, tmp_path: Path) -> None:
    dataset = Snapshot.at(labelled("masks", LIST))
    path = str(tmp_path / "list.csv")
    with pytest.raises(
        UsageError, match="from a listing with --id-column key; list them in the same way again"
    ):
        refuse_other_listing(dataset, Source.at(path).options, refresh=True)
    with pytest.raises(UsageError, match="was listed with --id-column key; give it to continue"):
        refuse_other_listing(dataset, Source.at(path).options, refresh=False)
    refuse_other_listing(dataset, WITH_IDS, refresh=False)


def test_a_plan_says_what_it_does_not_know(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a.jpg\nb.jpg\na.jpg\n")
    planned = plan(RunConfig(input=str(tmp_path / "list.txt"), output=str(tmp_path / "out")))
    assert (planned.images, planned.pending, planned.size_bytes) == (2, 2, 0)
    assert (planned.repeated, planned.unknown_sizes) == (1, 2)


def test_an_image_of_unknown_size_is_weighed_before_it_is_fetched(tmp_path: Path) -> None:
    with (tmp_path / "huge.jpg").open("wb") as huge:
        huge.truncate(ALWAYS_FETCHED_BYTES + 1)
    (tmp_path / "list.txt").write_text("huge.jpg\nnone.jpg\n")
    huge_row, missing = Source.at(str(tmp_path / "list.txt")).rows()
    settings = FetchSettings(None, DEFAULT_ACCESS, max_pixels=100)
    with pytest.raises(ImageError) as fault:
        fetched(huge_row._asdict(), settings)
    assert fault.value.reason is Reason.TOO_LARGE
    with pytest.raises(ImageError) as fault:
        fetched(missing._asdict(), settings)
    assert fault.value.reason is Reason.SOURCE_MISSING
