"""Non-maximal suppression (NMS): of two masks with too high an IoU, the one with the higher score stays.

Greedy, on the host: after the filters a crop has two thousand candidates, of which some sixty stay.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from sam_core.masks.coco_masks import coco_masks

Indices = npt.NDArray[np.int64]
# IoU of one item with each of some others
IouWithOthers = Callable[[int, Indices], npt.NDArray[np.float64]]


def kept_by_nms(order_N: Indices, iou: IouWithOthers, thresh: float) -> Indices:
    """The items that stay, best first: of two with an IoU above `thresh` the earlier one stays."""
    kept = []
    while len(order_N):
        best, order_N = order_N[0], order_N[1:]
        kept.append(best)
        # as in torchvision an IoU of 0 / 0 (boxes without extent), which is NaN, suppresses nothing
        order_N = order_N[~(iou(int(best), order_N) > thresh)]
    return np.array(kept, dtype=np.int64)


def box_iou(box_xyxy_N4: npt.NDArray[Any]) -> IouWithOthers:
    """IoU of boxes, whose width is x1 - x0, as a float32 has it; NaN if neither has an extent.

    Torchvision computes it in float32 on a CPU, and compares it with a double: 60 / 100 is above 0.6.
    """
    boxes = box_xyxy_N4.astype(np.float64)
    area_N = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])

    def iou_of_one(one: int, others: Indices) -> npt.NDArray[np.float64]:
        low = np.maximum(boxes[one, :2], boxes[others, :2])
        high = np.minimum(boxes[one, 2:], boxes[others, 2:])
        shared = np.clip(high - low, 0, None).prod(axis=1)
        with np.errstate(invalid="ignore"):
            iou = shared / (area_N[one] + area_N[others] - shared)
        rounded: npt.NDArray[np.float64] = iou.astype(np.float32).astype(np.float64)
        return rounded

    return iou_of_one


def mask_iou(counts: Sequence[bytes], height: int, width: int) -> IouWithOthers:
    """IoU of masks given as COCO's compressed counts. Raises: ValueError if some do not have this size."""
    masks = coco_masks(counts, height, width)

    def iou_of_one(one: int, others: Indices) -> npt.NDArray[np.float64]:
        if not len(others):
            return np.zeros(0)
        iou: npt.NDArray[np.float64] = coco_mask.iou([masks[other] for other in others], [masks[one]], [0])[
            :, 0
        ]
        return iou

    return iou_of_one
