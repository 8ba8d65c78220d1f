"""Our masks beside the original's recorded ones, compared as in parity/test_golden.py, on any device."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask
from scipy.optimize import linear_sum_assignment

from sam_core.generator import SamAutomaticMaskGenerator
from sam_core.model.sam import Sam

GOLDEN = Path(__file__).parents[1] / "parity" / "golden"
PHOTOS = Path(__file__).parents[2] / "jobs" / "demo" / "photos"


def matches_of_recorded(sam: Sam, precision: str) -> dict[str, Any]:
    """How many masks there are, of how many, and how many match one to one at an IoU of 0.99 or more."""
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
