"""Matches the masks of an image in one dataset with those in another, by their IoU."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from scipy.optimize import linear_sum_assignment

from pipeline.reading.record import Record
from sam_core.masks.coco_masks import coco_masks

SAME_IOU = 0.95  # rounding on another device moves an edge by a pixel here and there
MATCH_IOU = 0.5  # below it two masks do not match

SAME, CHANGED, ALONE = 0, 1, 2


def matched(before: Record, after: Record) -> tuple[list[list[Any]], list[list[Any]]]:
    """For each mask of both: SAME, CHANGED or ALONE, its counterpart's place or -1, and their IoU.

    Pairs are chosen so that the sum of their IoUs is largest; a pair below MATCH_IOU does not count. Images
    of different sizes have no mask in common.
    Raises: ValueError for masks that do not have their image's size.
    """
    of_before = [[ALONE, -1, 0.0] for _ in range(len(before))]
    of_after = [[ALONE, -1, 0.0] for _ in range(len(after))]
    for one, other, iou in _pairs(before, after):
        kind = SAME if iou >= SAME_IOU else CHANGED
        of_before[one] = [kind, other, round(iou, 4)]
        of_after[other] = [kind, one, round(iou, 4)]
    return of_before, of_after


def _pairs(before: Record, after: Record) -> list[tuple[int, int, float]]:
    if not (len(before) and len(after)) or (before.height, before.width) != (after.height, after.width):
        return []
    ious_NM: NDArray[np.float64] = coco_mask.iou(_masks(before), _masks(after), [0] * len(after))
    chosen = zip(*linear_sum_assignment(ious_NM, maximize=True), strict=True)
    pairs = [(int(one), int(other), float(ious_NM[one, other])) for one, other in chosen]
    return [pair for pair in pairs if pair[2] >= MATCH_IOU]


def _masks(record: Record) -> list[dict[str, Any]]:
    return coco_masks(record.counts, record.height, record.width)
