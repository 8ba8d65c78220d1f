"""The original's recorded masks: their points, and a comparison with our masks on any device."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask
from scipy.optimize import linear_sum_assignment

from sam_core.generator import SamAutomaticMaskGenerator
from sam_core.masks.crops import point_grid
from sam_core.model.sam import Sam

GOLDEN = Path(__file__).parents[1] / "parity" / "golden"
PHOTOS = Path(__file__).parents[2] / "jobs" / "demo" / "photos"


def points_of(masks: Sequence[dict[str, Any]], every_nth: int) -> np.ndarray:
    """Points of the default grid, in 0..1: the points that the masks came from, and every nth of all."""
    grid_N2 = point_grid(32)
    height, width = masks[0]["segmentation"]["size"]
    from_N2 = np.array([mask["point_coords"][0] for mask in masks]) / [width, height]
    places = np.abs(grid_N2[:, None] - from_N2).max(axis=2).argmin(axis=0)
    np.testing.assert_allclose(grid_N2[places], from_N2, atol=1e-6)
    return grid_N2[np.union1d(places, np.arange(0, len(grid_N2), every_nth))]


def matches_of_recorded(sam: Sam, precision: str) -> dict[str, Any]:
    """The numbers of our and of recorded masks, and how many match one to one at an IoU of 0.99 or more."""
    ours = recorded = matched = 0
    predicted_iou_off = 0.0
    for path in sorted(GOLDEN.glob("*.json.gz")):
        golden = json.loads(gzip.decompress(path.read_bytes()))
        photo = np.array(Image.open(PHOTOS / golden["image"]).convert("RGB"))
        options = {**golden["options"], "output_mode": "coco_rle", "precision": precision}
        options["points_per_batch"] = 256
        records = SamAutomaticMaskGenerator(sam, **options).generate(photo)
        sides = [[record["segmentation"] for record in side] for side in (records, golden["masks"])]
        iou = coco_mask.iou(*sides, [0] * len(golden["masks"]))
        for mine, other in zip(*linear_sum_assignment(-iou), strict=True):
            if iou[mine, other] >= 0.99:
                matched += 1
                off = abs(records[mine]["predicted_iou"] - golden["masks"][other]["predicted_iou"])
                predicted_iou_off = max(predicted_iou_off, off)
        ours, recorded = ours + len(records), recorded + len(golden["masks"])
    return {"ours": ours, "recorded": recorded, "matched": matched, "predicted_iou_off": predicted_iou_off}
