"""Rows under the fixed schema."""

import json

import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import Reason
from pipeline.output.format.manifest import manifest_row
from pipeline.output.format.schema import (
    SCHEMA,
    SCHEMA_WITH_VECTORS,
    conformed,
    deep_and_narrow,
    failed_row,
    file_metadata,
    mask_columns,
    table_of,
)
from pipeline.output.row_masks import masks_of_row
from sam_core.label_map import label_map

NAMES_OF_V1 = ["image_id", "uri", "etag", "width", "height", "exif_orientation", "frames", "status", "error"]
NAMES_OF_V1 += ["error_message", "num_masks", "mask_counts", "mask_area", "mask_bbox", "mask_predicted_iou"]
NAMES_OF_V1 += ["mask_stability_score", "mask_point_coords", "mask_crop_box"]
ADDED = ["pixel_scale", "pixel_range", "bands", "geo_transform", "crs"]  # null in shards of earlier releases
ADDED += ["source_id", "extra"]


def test_the_columns_are_those_of_version_1() -> None:
    assert SCHEMA.names == NAMES_OF_V1 + ADDED
    assert SCHEMA.field("mask_bbox").type == pa.list_(pa.list_(pa.float32(), 4))
    assert SCHEMA.field("mask_counts").type == pa.list_(pa.string())


def test_no_column_that_may_be_null_is_a_list_of_a_fixed_size() -> None:
    """pyarrow before 26 writes such a null but cannot read it."""
    for field in SCHEMA_WITH_VECTORS:
        assert not (field.nullable and pa.types.is_fixed_size_list(field.type)), field


def test_a_failed_row_has_no_masks_rather_than_zero_masks() -> None:
    row = table_of([failed_row(manifest_row("file:///a", 1, "e")._asdict(), Reason.TRUNCATED, "x" * 5000)])
    (said,) = row.to_pylist()
    assert (said["status"], said["error"]) == ("failed", "TRUNCATED")
    assert said["num_masks"] is None
    assert said["mask_counts"] is None
    assert len(said["error_message"]) == 1000


def test_rows_without_masks_are_cast_to_the_schema(rehearsal) -> None:
    table = table_of([rehearsal([]).row(manifest_row("file:///none/7", 1, "e"))])
    inferred = pa.Table.from_pylist(table.to_pylist())
    assert conformed(inferred, SCHEMA).schema.equals(SCHEMA)
    assert conformed(inferred, SCHEMA).equals(table)


def test_an_ok_row_keeps_what_the_generator_said(rehearsal) -> None:
    images = [manifest_row(f"file:///photos/{number}", 1, "1") for number in range(20)]
    rows = [rehearsal([]).row(image) for image in images]
    table = table_of(rows)
    assert table.schema.equals(SCHEMA)
    masked = next(row for row in table.to_pylist() if row["num_masks"])
    assert len(masked["mask_counts"]) == len(masked["mask_bbox"]) == masked["num_masks"]
    assert np.asarray(masked["mask_crop_box"]).shape == (masked["num_masks"], 4)


def test_a_row_gives_its_masks_back(rehearsal) -> None:
    table = table_of([rehearsal([]).row(manifest_row(f"file:///{number}", 1, "1")) for number in range(20)])
    rows = [row for row in table.to_pylist() if row["status"] == "ok"]
    assert sum(row["num_masks"] for row in rows) > 0
    for row in rows:
        masks = masks_of_row(row)
        assert row.items() >= mask_columns(masks).items()
        assert (label_map(masks) > 0).sum() == np.any([masks.mask(i) for i in range(len(masks))], 0).sum()


def test_an_empty_table_has_the_schema() -> None:
    assert table_of([]).schema.equals(SCHEMA)


def test_a_required_column_may_not_be_missing() -> None:
    with pytest.raises(KeyError):
        conformed(pa.table({"image_id": ["x"]}), SCHEMA)


def test_the_files_metadata_says_what_the_columns_mean() -> None:
    said = json.loads(file_metadata({"fingerprint": "abc"}, "r00001")[b"sam_label"])
    assert said["fingerprint"] == "abc"
    assert said["run"] == "r00001"
    assert said["box_format"] == "xywh"


def test_images_that_use_a_tenth_of_their_scale_are_counted() -> None:
    scales = [None, "0:65535", "0:65535", "0:65535", "5:5", "0:10"]
    ranges = [None, "0:4095", "0:65535", None, "5:5", "0:1"]
    table = pa.table({"pixel_scale": scales, "pixel_range": ranges})
    assert deep_and_narrow(table) == (5, 4)


def test_a_key_that_the_schema_lacks_is_not_lost_without_a_word(rehearsal) -> None:
    row = rehearsal([]).row(manifest_row("file:///a", 1, "e"))
    with pytest.raises(KeyError, match="the schema has no image_embedding"):
        table_of([row, row | {"image_embedding": [0.0] * 256}])
