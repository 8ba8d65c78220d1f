"""Finds what is wrong with the rows of a shard: compares masks with their boxes, areas and image."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from pipeline.errors import Reason
from pipeline.output.format.manifest import image_id
from pipeline.output.format.schema import MASK_COLUMNS, VECTOR_SIZE, VECTORS, extra_of
from pipeline.output.row_guard import FACTS, GEO_NUMBERS
from sam_core.masks.crops import is_image_size
from sam_core.masks.rle import area_of_runs, box_of_runs, compressed_counts_runs


def row_faults(row: Mapping[str, Any]) -> Iterator[str]:
    """The faults of one row, each as a clause; none for a sound row.

    A row without the columns of masks and vectors passes for one whose masks are sound (sound_masks.py).
    """
    if row["image_id"] != image_id(row["source_id"] or row["uri"]):
        yield f"its image_id does not match its {'source_id' if row['source_id'] else 'uri'}"
    try:
        extra_of(row["extra"])
    except ValueError as fault:
        yield f"its {fault}"
    for name, (pattern, meaning) in FACTS.items():
        if row[name] is not None and not pattern.fullmatch(row[name]):
            yield f"its {name} is {row[name]!r}, not {meaning}"
    transform = row["geo_transform"]
    if transform is not None and (len(transform) != GEO_NUMBERS or None in transform):
        yield f"its geo_transform is {transform}, not {GEO_NUMBERS} numbers"
    if row["status"] == "failed":
        yield from _failed_row_faults(row)
    elif row["status"] == "ok":
        yield from _ok_row_faults(row)
    else:
        yield f"its status is {row['status']!r}, neither ok nor failed"


def _failed_row_faults(row: Mapping[str, Any]) -> Iterator[str]:
    if row["error"] not in set(Reason):
        yield f"its error {row['error']!r} is not a known reason"
    if any(row.get(column) is not None for column in (*MASK_COLUMNS, "num_masks", *VECTORS)):
        yield "it failed, but has masks"


def _ok_row_faults(row: Mapping[str, Any]) -> Iterator[str]:
    if row["error"] is not None:
        yield f"it is ok, but has the error {row['error']}"
    if not is_image_size(row["height"] or 0, row["width"] or 0):
        yield f"its size is {row['width']} x {row['height']}"
        return
    if "mask_counts" not in row:
        return
    lengths = {column: -1 if row[column] is None else len(row[column]) for column in MASK_COLUMNS}
    if set(lengths.values()) != {row["num_masks"]}:
        yield f"num_masks is {row['num_masks']}, but its lists have the lengths {lengths}"
        return
    yield from _vector_faults(row)
    for index in range(row["num_masks"]):
        mask = {column: row[column][index] for column in MASK_COLUMNS}
        for fault in _mask_faults(mask, row["height"], row["width"]):
            yield f"mask {index}: {fault}"


def _vector_faults(row: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the vectors of a row, if its dataset has them."""
    if "mask_embedding" not in row:
        return
    of_masks, of_image = (row[name] for name in VECTORS)
    if of_masks is None or of_image is None or len(of_masks) != row["num_masks"]:
        vectors = "no vectors" if of_masks is None else f"{len(of_masks)} vectors"
        own = "none" if of_image is None else "one"
        yield f"it has {vectors} for {row['num_masks']} masks, and {own} for the image"
    elif len(of_image) != VECTOR_SIZE:
        yield f"its image_embedding has {len(of_image)} numbers, not {VECTOR_SIZE}"
    elif not (np.isfinite(of_masks).all() and np.isfinite(of_image).all()):
        yield "a vector holds a value that is not a number"


def _mask_faults(mask: Mapping[str, Any], height: int, width: int) -> Iterator[str]:
    numbers = [*mask["mask_bbox"], *mask["mask_point_coords"], *mask["mask_crop_box"]]
    if None in (*mask.values(), *numbers):
        yield "it has a null"
        return
    try:
        runs = compressed_counts_runs(mask["mask_counts"].encode())
    except ValueError as fault:
        yield f"its RLE is broken ({fault})"
        return
    pixels = int(runs.sum(dtype="int64"))
    if pixels != height * width:
        yield f"its RLE covers {pixels} pixels, but the image has {height} x {width} = {height * width}"
        return
    if area_of_runs(runs) != mask["mask_area"]:
        yield f"its area is {mask['mask_area']}, but its RLE has {area_of_runs(runs)} pixels"
    x0, y0, x1, y1 = box_of_runs(runs, height)
    if mask["mask_bbox"] != [x0, y0, x1 - x0, y1 - y0]:
        yield f"its box is {mask['mask_bbox']}, its RLE's {[x0, y0, x1 - x0, y1 - y0]}"
    for column in ("mask_predicted_iou", "mask_stability_score"):
        if not math.isfinite(mask[column]):
            yield f"its {column.removeprefix('mask_')} is {mask[column]}"
    x, y = mask["mask_point_coords"]
    if not (0 <= x <= width and 0 <= y <= height):
        yield f"its point ({x}, {y}) is outside the image"
    left, top, crop_width, crop_height = mask["mask_crop_box"]
    if left < 0 or top < 0 or left + crop_width > width or top + crop_height > height:
        yield f"its crop box {mask['mask_crop_box']} is outside the image"
