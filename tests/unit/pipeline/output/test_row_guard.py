"""Rows as a stranger may send them: every reader refuses them in a sentence, and `validate` names the row."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from labelled_photos import labelled_photos
from rewritten_rows import rewrite, rewrite_columns

from pipeline.errors import DamagedFile
from pipeline.export.export import exported
from pipeline.export_config import ExportConfig
from pipeline.output.commands.retry import retry
from pipeline.output.commands.validate import validate
from pipeline.output.dataset import Dataset
from pipeline.output.format.schema import MASK_COLUMNS
from pipeline.reading.dataset import Dataset as Reading
from pipeline.report.report import Preview, written_report
from sam_core.masks.crops import MOST_SIDE
from sam_core.masks.rle import compressed_counts

TRAVERSAL = "../" * 30 + "home/me/.bashrc"


def whole(height: int, width: int) -> str:
    """The counts of a mask that covers the image."""
    return compressed_counts(np.array([0, height * width], np.uint32)).decode()


FAILED: dict[str, Any] = dict.fromkeys((*MASK_COLUMNS, "num_masks")) | {
    "status": "failed",
    "error": "CORRUPT",
}
HOSTILE: list[dict[str, Any]] = [
    {"image_id": TRAVERSAL},
    {"image_id": "/../../../w2" + "0" * 20},
    {"image_id": "a" * 32 + "\n"},
    {"image_id": "A" * 32},
    {"status": "odd"},
    {"geo_transform": [0.0, 1, 0, 0, 0, -1], "crs": "http://127.0.0.1/steal?x=1"},
    {"crs": "EPSG:4326\n"},
    {"geo_transform": [0.0, 1, 0], "crs": "EPSG:4326"},
    {"geo_transform": [0.0, 1, 0, 0, 0, None], "crs": "EPSG:4326"},
    {"height": -1, "width": -1},
    {"height": 0},
    {"width": None},
    {"height": MOST_SIDE + 1, "width": 1, "mask_counts": [whole(MOST_SIDE + 1, 1)]},
    {"height": 2**31 - 1, "width": 1},
    {"height": 1 << 16, "width": 1 << 16},
    {"num_masks": 5},
    {"num_masks": -1},
    {"mask_counts": None},
    {"mask_counts": []},
    {"mask_counts": [None]},
    {"mask_bbox": [[0.0, 0.0, None, 1.0]]},
    dict.fromkeys(("num_masks", "mask_counts", "mask_area", "mask_bbox"), None),
    {"pixel_scale": "x"},
    {"pixel_scale": "0:65535", "pixel_range": "1:"},
    {"pixel_range": "0:1\n"},
    FAILED | {"crs": "ESRI:1"},
    FAILED | {"geo_transform": [1.0]},
    FAILED | {"geo_transform": [0.0, 1, 0, 0, 0, None]},
    FAILED | {"pixel_scale": "x"},
    FAILED | {"num_masks": 1},
    FAILED | {"mask_area": []},
]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    labelled_photos(str(tmp_path / "photos"), str(tmp_path / "masks"))
    return tmp_path / "masks"


def patched(output: Path, values: dict[str, Any]) -> str:
    """Gives the first row these values, and one mask where they have lists of one; returns its shard."""

    def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        row = rows[0]
        lists = {name: value[:1] for name, value in row.items() if name.startswith("mask_")}
        return [row | lists | {"num_masks": 1} | values, *rows[1:]]

    return rewrite(output, change)


READERS: dict[str, Callable[[Path, Path], object]] = {
    "table": lambda output, folder: Dataset.at(str(output)).table(),
    "records": lambda output, folder: [record.image_id for record in Reading.open(str(output))],
    "one record": lambda output, folder: Reading.open(str(output))[0],
    "preview": lambda output, folder: written_report(Preview(str(output), str(folder / "page.html"))),
    "png": lambda output, folder: exported(ExportConfig(output=str(output), dest=str(folder), format="png")),
    "copy": lambda output, folder: exported(
        ExportConfig(output=str(output), dest=str(folder / "coco.json"), images="copy")
    ),
}


@pytest.mark.parametrize("values", HOSTILE, ids=str)
def test_a_row_that_no_run_writes_is_refused_and_named_by_validate(
    output: Path, values: dict[str, Any]
) -> None:
    shard = patched(output, values)
    with pytest.raises(DamagedFile, match=f"{shard} is damaged .*; sam-label validate names each such row"):
        Dataset.at(str(output)).table()
    assert any(shard in problem for problem in validate(str(output)).problems)


@pytest.mark.parametrize(
    "values",
    [
        *({"image_embedding": [0.0] * size} for size in (0, 1, 255, 257)),
        {"image_embedding": [0.0] * 255 + [None]},
        {"mask_embedding": [None]},
        {"mask_embedding": [[0.0] * 255 + [None]]},
        {"mask_embedding": None},
        FAILED | {"mask_embedding": None, "image_embedding": [0.0]},
    ],
    ids=lambda values: " ".join(f"{name} {len(value or [])}" for name, value in values.items())[-60:],
)
def test_so_is_one_with_vectors_that_no_run_writes(tmp_path: Path, values: dict[str, Any]) -> None:
    output = tmp_path / "masks"
    labelled_photos(str(tmp_path / "photos"), str(output), has_vectors=True)

    def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [rows[0] | values, *rows[1:]]

    shard = rewrite(output, change)
    with pytest.raises(DamagedFile, match=f"{shard} is damaged"):
        Dataset.at(str(output)).table()
    assert any(shard in problem for problem in validate(str(output)).problems)


@pytest.mark.parametrize("scale", ["0:65535", "-5:1e+300", "0.0001234:5e-324", "5:5"])
def test_the_ranges_that_runs_write_are_sound(output: Path, scale: str) -> None:
    patched(output, {"pixel_scale": scale, "pixel_range": scale})
    assert len(Dataset.at(str(output)).table()) == 8
    assert validate(str(output)).problems == []


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_refuses_it_and_writes_nothing_elsewhere(
    output: Path, tmp_path: Path, reader: str
) -> None:
    victim = tmp_path / "victim.txt"
    victim.write_text("mine")
    patched(output, {"image_id": f"../../../{victim.name}", "uri": "file:///nowhere/a.png", "etag": ""})
    before = sorted(tmp_path.iterdir())
    (tmp_path / "x" / "y").mkdir(parents=True)
    with pytest.raises(DamagedFile, match="the image_id of a row is not 32 hex digits"):
        READERS[reader](output, tmp_path / "x" / "y" / "z")
    assert sorted(path for path in tmp_path.iterdir() if path.name != "x") == before
    assert victim.read_text() == "mine"


def test_a_retry_does_not_write_such_a_row_again(output: Path) -> None:
    rewrite_columns(output, lambda table: with_column(table, "crs", ["http://127.0.0.1/"] * len(table)))
    commits = sorted((output / "_commits").iterdir())
    with pytest.raises(DamagedFile, match="the crs of a row is not EPSG: and a number"):
        retry(str(output))
    assert sorted((output / "_commits").iterdir()) == commits


def test_an_error_that_is_no_reason_is_refused(output: Path) -> None:
    rewrite_columns(output, lambda table: with_column(table, "error", ["BAD\x1b[31m"] * len(table)))
    with pytest.raises(DamagedFile, match="the error of a row is not a reason"):
        Dataset.at(str(output)).table()
    assert not validate(str(output)).is_valid


CHANGES: dict[str, Callable[[pa.Table], pa.Table]] = {
    "lost": lambda table: table.drop_columns(["error_message"]),
    "numbers": lambda table: with_column(table, "error_message", list(range(len(table)))),
}


@pytest.mark.parametrize("change", CHANGES)
def test_columns_of_another_kind_are_refused(output: Path, change: str) -> None:
    rewrite_columns(output, CHANGES[change])
    with pytest.raises(DamagedFile, match="the column error_message is not there, or is of another type"):
        Dataset.at(str(output)).table()
    assert not validate(str(output)).is_valid


def with_column(table: pa.Table, name: str, values: list[Any]) -> pa.Table:
    return table.set_column(table.schema.names.index(name), name, pa.array(values))


@pytest.mark.parametrize("extra", ["[" * 200_000, "[" * 60_000, "[]", "{", '{"a": "' + "x" * 70_000 + '"}'])
def test_an_extra_that_is_no_object_is_told(output: Path, tmp_path: Path, extra: str) -> None:
    patched(output, {"extra": extra})
    (problem,) = (one for one in validate(str(output)).problems if "extra" in one)
    assert "its extra " in problem
    with pytest.raises(DamagedFile, match="extra "):
        _ = Reading.open(str(output))[0].extra
    with pytest.raises(DamagedFile, match="extra "):
        exported(ExportConfig(output=str(output), dest=str(tmp_path / "coco.json")))


@pytest.mark.parametrize("how", [{"images": "copy"}, {"images": "link"}, {"format": "webdataset"}])
@pytest.mark.parametrize("private", ["id_rsa", "empty"])
def test_a_private_file_that_is_no_image_is_not_exported(
    output: Path, tmp_path: Path, how: dict[str, Any], private: str
) -> None:
    (tmp_path / "id_rsa").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nTOPSECRET\n")
    (tmp_path / "empty").touch()
    before = len(Dataset.at(str(output)).table().filter(pc.field("status") == "ok"))
    patched(output, {"uri": f"file://{tmp_path}/{private}", "etag": ""})
    counts = exported(ExportConfig(output=str(output), dest=str(tmp_path / "x"), **how)).counts
    assert counts.unavailable == {"NOT_AN_IMAGE": 1}
    assert counts.images == before - 1
    written = [path for path in (tmp_path / "x").rglob("*") if path.is_file()]
    assert not any(b"TOPSECRET" in path.read_bytes() for path in written)
    assert not any(path.resolve().name == private for path in written)


def test_a_link_to_an_image_that_is_gone_is_not_made(output: Path, tmp_path: Path) -> None:
    (tmp_path / "photos" / "a.jpg").unlink()
    counts = exported(ExportConfig(output=str(output), dest=str(tmp_path / "x"), images="link")).counts
    assert counts.unavailable == {"SOURCE_MISSING": 1}
    assert all(path.exists() for path in (tmp_path / "x").rglob("*"))


@pytest.mark.parametrize("counts", ["0", "é", "\x00", ""])
@pytest.mark.parametrize("how", ["coco", "png", "yolo", "sa1b"])
def test_an_export_refuses_counts_that_are_no_mask(
    output: Path, tmp_path: Path, counts: str, how: Any
) -> None:
    patched(output, {"mask_counts": [counts]})
    with pytest.raises(DamagedFile, match=r"the row of .* are not a mask of 32 x 48 pixels"):
        exported(ExportConfig(output=str(output), dest=str(tmp_path / "x"), format=how))
