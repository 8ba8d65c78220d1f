"""Turns a row of the dataset back into the masks of `sam_core`, and checks that they are sound."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.errors import DamagedFile
from pipeline.output.format.schema import VECTOR_SIZE
from sam_core.masks.decode import refuse_unsound_counts
from sam_core.masks.image_masks import ImageMasks


def masks_of_row(row: Mapping[str, Any]) -> ImageMasks:
    """The masks of a row whose status is ok, as `schema.ok_row` was given them.

    Without vectors if the row has none, or they were not read.
    """
    of_masks, of_image = row.get("mask_embedding"), row.get("image_embedding")
    return ImageMasks(
        height=row["height"],
        width=row["width"],
        counts=[counts.encode() for counts in row["mask_counts"]],
        area=np.array(row["mask_area"], np.int64),
        bbox_xywh=np.array(row["mask_bbox"], np.float32).reshape(-1, 4),
        predicted_iou=np.array(row["mask_predicted_iou"], np.float32),
        stability_score=np.array(row["mask_stability_score"], np.float32),
        point_coords=np.array(row["mask_point_coords"], np.float32).reshape(-1, 2),
        crop_box_xywh=np.array(row["mask_crop_box"], np.float32).reshape(-1, 4),
        embedding=None if of_masks is None else np.asarray(of_masks, np.float16).reshape(-1, VECTOR_SIZE),
        image_embedding=None if of_image is None else np.asarray(of_image, np.float16),
    )


def refuse_damaged_masks(row: str, counts: Sequence[bytes], height: int, width: int) -> None:
    """Raises: DamagedFile, which calls the row `row`, if one of its masks is no mask of its image's size."""
    try:
        refuse_unsound_counts(counts, height, width)
    except ValueError as fault:
        raise DamagedFile(row, str(fault)) from fault
