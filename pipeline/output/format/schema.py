"""Schema v1: one row an image, its masks as parallel lists.

Every reader can read parallel lists (a list of structs loses columns in Ray and Arrow), and they compress as
well. A failed image has a row too: its mask columns are null, so it differs from an image without masks.

A column that may be null is never a fixed-size list: pyarrow before 26 cannot read such a null from Parquet,
so neither can pandas nor Hugging Face's datasets. They can read fixed-size lists inside lists, where nothing
is null.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.errors import Reason
from sam_core import __version__

if TYPE_CHECKING:  # readers of a dataset need no torch
    from sam_core.masks.image_masks import ImageMasks
    from sam_core.options import MaskOptions

SCHEMA_VERSION = 1
_XYWH = pa.list_(pa.float32(), 4)
_XY = pa.list_(pa.float32(), 2)

SCHEMA: pa.Schema = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),  # 32 hex characters, from source_id or the uri
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
        # For images of more than 8 bits a sample, as "LO:HI": the samples that became 0 and 255, and the
        # image's own smallest and largest.
        pa.field("pixel_scale", pa.string()),
        pa.field("pixel_range", pa.string()),
        # For TIFFs whose bands were chosen, as "4,3,2".
        pa.field("bands", pa.string()),
        # For GeoTIFFs: six numbers in GDAL's order, and "EPSG:32633".
        pa.field("geo_transform", pa.list_(pa.float64())),
        pa.field("crs", pa.string()),
        # For images that a list names: their id there, and the kept columns of the list, as a JSON object.
        pa.field("source_id", pa.string()),
        pa.field("extra", pa.string()),
    ]
)
_LATER = ("pixel_scale", "pixel_range", "bands", "geo_transform", "crs", "source_id", "extra")
# Shards of earlier releases lack them; a reader fills them with null.
ADDED_LATER = [SCHEMA.field(name) for name in _LATER]
VECTOR_SIZE = 256  # features of every SAM's image encoder
VECTOR = pa.list_(pa.float16(), VECTOR_SIZE)
# Only in datasets that are labelled with the option mask_embeddings.
SCHEMA_WITH_VECTORS: pa.Schema = pa.schema(
    [
        *SCHEMA,
        pa.field("mask_embedding", pa.list_(VECTOR)),
        pa.field("image_embedding", pa.list_(pa.float16())),
    ]
)
VECTORS = ("mask_embedding", "image_embedding")
MASK_COLUMNS = tuple(name for name in SCHEMA.names if name.startswith("mask_"))  # lists of num_masks
MOST_EXTRA_BYTES = 64 << 10  # of one image: 50,000 of them are sorted in memory at once
NARROW = 0.1  # of the scale: 12-bit samples in 16 bits use 6 % of it


class Decoded(Protocol):
    """What a row stores about a decoded image besides its size."""

    @property
    def exif_orientation(self) -> int: ...

    @property
    def frames(self) -> int: ...

    @property
    def pixel_scale(self) -> str | None: ...

    @property
    def pixel_range(self) -> str | None: ...

    @property
    def bands(self) -> str | None: ...

    @property
    def geo_transform(self) -> Sequence[float] | None: ...

    @property
    def crs(self) -> str | None: ...


def schema_of(options: "MaskOptions") -> pa.Schema:
    """The columns of a dataset that is labelled with these options."""
    return SCHEMA_WITH_VECTORS if options.mask_embeddings else SCHEMA


def ok_row(manifest_row: Mapping[str, Any], decoded: Decoded, masks: "ImageMasks") -> dict[str, Any]:
    """The row of a labelled image; an image without masks has empty lists."""
    vector = {} if masks.image_embedding is None else {"image_embedding": masks.image_embedding.tolist()}
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
        "bands": decoded.bands,
        "geo_transform": None if decoded.geo_transform is None else list(decoded.geo_transform),
        "crs": decoded.crs,
        **vector,
    }


def mask_columns(masks: "ImageMasks") -> dict[str, Any]:
    """The masks as a row's columns."""
    vectors = {} if masks.embedding is None else {"mask_embedding": masks.embedding.tolist()}
    return {
        "num_masks": len(masks.counts),
        "mask_counts": [counts.decode("ascii") for counts in masks.counts],
        "mask_area": masks.area.tolist(),
        "mask_bbox": masks.bbox_xywh.tolist(),
        "mask_predicted_iou": masks.predicted_iou.tolist(),
        "mask_stability_score": masks.stability_score.tolist(),
        "mask_point_coords": masks.point_coords.tolist(),
        "mask_crop_box": masks.crop_box_xywh.tolist(),
        **vectors,
    }


def failed_row(manifest_row: Mapping[str, Any], reason: Reason, message: str) -> dict[str, Any]:
    """The row of an image without masks: `reason` for programs, `message` for people."""
    return {
        **_identity(manifest_row),
        "status": "failed",
        "error": reason.value,
        "error_message": message[:1000],  # a decoder may quote its whole input
    }


def table_of(rows: Sequence[Mapping[str, Any]], schema: pa.Schema = SCHEMA) -> pa.Table:
    """The rows as a table of the schema; a key that a row lacks becomes null, no rows an empty table.

    Raises: KeyError for a key that the schema lacks; Arrow would drop it silently.
    """
    if unknown := set().union(*rows) - set(schema.names):
        raise KeyError(f"the schema has no {', '.join(sorted(unknown))}")
    return pa.Table.from_pylist([dict(row) for row in rows], schema=schema)


def rows_of_batch(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """The rows as Python values, but vectors as arrays: to convert these would take most of the time."""
    vectors = {name: batch.column(name) for name in VECTORS if name in batch.schema.names}
    for place, row in enumerate(batch.drop_columns(list(vectors)).to_pylist()):
        for name, column in vectors.items():
            row[name] = vectors_of(column[place])
        yield row


def vectors_of(cell: pa.Scalar) -> NDArray[np.float16] | None:
    """The vectors of one cell of VECTORS: float16 [N, 256], or [256] for the image; None for null."""
    if not cell.is_valid:
        return None
    values = cell.values
    is_nested = pa.types.is_fixed_size_list(values.type)
    flat: NDArray[np.float16] = (values.flatten() if is_nested else values).to_numpy(zero_copy_only=False)
    return flat.reshape(-1, VECTOR_SIZE) if is_nested else flat


def extra_of(text: str | None) -> dict[str, Any]:
    """The columns of a list in a cell of `extra`, by name. Raises: ValueError if the text is not theirs."""
    if not text:
        return {}
    if len(text.encode()) > MOST_EXTRA_BYTES:
        raise ValueError(f"extra has more than {MOST_EXTRA_BYTES:,} bytes")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as fault:
        raise ValueError(f"extra is not JSON ({fault})") from fault
    if not isinstance(value, dict):
        raise ValueError("extra is not a JSON object")
    return value


def conformed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The same rows cast to the schema: for images without masks Arrow infers list<null>."""
    return table.select(schema.names).cast(schema)


def deep_and_narrow(table: pa.Table) -> tuple[int, int]:
    """How many images have more than 8 bits a sample, and how many of them use at most NARROW of it."""
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
    said = {key: manifest_row.get(key) for key in ("source_id", "extra")}
    return {**{key: manifest_row[key] for key in ("image_id", "uri", "etag")}, **said}
