"""Schema v1: one row an image, its masks as parallel lists.

Parallel lists read everywhere (a list of structs loses columns in Ray and Arrow) and compress as well. A
failed image is a row too: its mask columns are null, which no reader mistakes for an image without masks.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from pipeline.errors import Reason
from sam_core import __version__

if TYPE_CHECKING:  # readers of a dataset need no torch
    from sam_core.masks.image_masks import ImageMasks

SCHEMA_VERSION = 1
_XYWH = pa.list_(pa.float32(), 4)
_XY = pa.list_(pa.float32(), 2)

SCHEMA: pa.Schema = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),  # 32 hex characters, from the uri alone
        pa.field("uri", pa.string(), nullable=False),
        pa.field("etag", pa.string(), nullable=False),
        pa.field("width", pa.int32()),  # of the upright image; null if it could not be decoded
        pa.field("height", pa.int32()),
        pa.field("exif_orientation", pa.int8()),
        pa.field("frames", pa.int32()),
        pa.field("status", pa.string(), nullable=False),  # "ok" | "failed"
        pa.field("error", pa.string()),  # a Reason, null if ok
        pa.field("error_message", pa.string()),
        pa.field("num_masks", pa.int32()),
        pa.field("mask_counts", pa.list_(pa.string())),  # COCO compressed RLE of (height, width)
        pa.field("mask_area", pa.list_(pa.int64())),
        pa.field("mask_bbox", pa.list_(_XYWH)),
        pa.field("mask_predicted_iou", pa.list_(pa.float32())),
        pa.field("mask_stability_score", pa.list_(pa.float32())),
        pa.field("mask_point_coords", pa.list_(_XY)),
        pa.field("mask_crop_box", pa.list_(_XYWH)),
        # Of images of more than 8 bits a sample, as "LO:HI": the samples that became 0 and 255, and the
        # image's own smallest and largest.
        pa.field("pixel_scale", pa.string()),
        pa.field("pixel_range", pa.string()),
    ]
)
# Shards of earlier releases lack them; a reader takes them for null.
ADDED_LATER = [SCHEMA.field(name) for name in ("pixel_scale", "pixel_range")]
NARROW = 0.1  # of the scale: 12-bit samples in 16 bits use 6 % of it


class Decoded(Protocol):
    """What a row keeps of a decoded image besides its size."""

    @property
    def exif_orientation(self) -> int: ...

    @property
    def frames(self) -> int: ...

    @property
    def pixel_scale(self) -> str | None: ...

    @property
    def pixel_range(self) -> str | None: ...


def ok_row(manifest_row: Mapping[str, Any], decoded: Decoded, masks: "ImageMasks") -> dict[str, Any]:
    """The row of a labelled image; an image without masks has empty lists."""
    return {
        **_identity(manifest_row),
        "width": masks.width,
        "height": masks.height,
        "exif_orientation": decoded.exif_orientation,
        "frames": decoded.frames,
        "status": "ok",
        **mask_columns(masks),
        "pixel_scale": decoded.pixel_scale,
        "pixel_range": decoded.pixel_range,
    }


def mask_columns(masks: "ImageMasks") -> dict[str, Any]:
    """The masks as a row's columns."""
    return {
        "num_masks": len(masks.counts),
        "mask_counts": [counts.decode("ascii") for counts in masks.counts],
        "mask_area": masks.area.tolist(),
        "mask_bbox": masks.bbox_xywh.tolist(),
        "mask_predicted_iou": masks.predicted_iou.tolist(),
        "mask_stability_score": masks.stability_score.tolist(),
        "mask_point_coords": masks.point_coords.tolist(),
        "mask_crop_box": masks.crop_box_xywh.tolist(),
    }


def failed_row(manifest_row: Mapping[str, Any], reason: Reason, message: str) -> dict[str, Any]:
    """The row of an image without masks: `reason` for programs, `message` for people."""
    return {
        **_identity(manifest_row),
        "status": "failed",
        "error": reason.value,
        "error_message": message[:1000],  # a decoder may quote its whole input
    }


def table_of(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The rows under SCHEMA, keys that a row lacks as null; no rows give an empty table."""
    return pa.Table.from_pylist([dict(row) for row in rows], schema=SCHEMA)


def conformed(table: pa.Table) -> pa.Table:
    """The same rows cast to SCHEMA: a block of images without masks infers list<null>."""
    return table.select(SCHEMA.names).cast(SCHEMA)


def deep_and_narrow(table: pa.Table) -> tuple[int, int]:
    """How many images have more than 8 bits a sample, and how many of them use NARROW of their scale."""
    columns = (table[name].to_pylist() for name in ("pixel_scale", "pixel_range"))
    pairs = [(scale, used or "0:0") for scale, used in zip(*columns, strict=True) if scale is not None]
    return len(pairs), sum(_width(used) <= NARROW * _width(scale) for scale, used in pairs)


def _width(low_and_high: str) -> float:
    low, _, high = low_and_high.partition(":")
    return float(high) - float(low)


def file_metadata(description: Mapping[str, Any], run: str) -> dict[bytes, bytes]:
    """The `sam_label` key of a shard's metadata: what its columns mean and what made them."""
    meaning = {
        "schema_version": SCHEMA_VERSION,
        "software_version": __version__,
        "mask_encoding": "coco_rle_compressed",
        "box_format": "xywh",
        "orientation": "exif_applied",
        **description,
        "run": run,
    }
    return {b"sam_label": json.dumps(meaning, sort_keys=True).encode()}


def _identity(manifest_row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: manifest_row[key] for key in ("image_id", "uri", "etag")}
