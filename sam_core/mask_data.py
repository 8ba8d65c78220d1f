"""Cleans small regions in SA's `MaskData`, for scripts that call this step on their own."""

from typing import Any, Protocol

import numpy as np
import torch

from sam_core.masks.nms import box_iou, kept_by_nms
from sam_core.masks.rle import box_of_runs, mask_of_runs, runs_of_mask
from sam_core.masks.small_regions import without_small_regions


class MaskData(Protocol):
    """The part of SA's class that is used: columns by name, and a filter over all of them."""

    def __getitem__(self, name: str) -> Any: ...

    def filter(self, keep: torch.Tensor) -> None: ...


def without_small_regions_of_data(mask_data: MaskData, min_area: int, nms_thresh: float) -> MaskData:
    """The same data without holes and islands under min_area, then without duplicates by box NMS.

    Changes the data in place. Of two overlapping boxes the mask that needed no cleaning stays. Source:
    postprocess_small_regions of segment-anything, commit dca509f.
    Raises: ValueError for data without the columns rles and boxes.
    """
    rles = _column(mask_data, "rles")
    if not len(rles):
        return mask_data
    boxes = _column(mask_data, "boxes")
    box_xyxy_N4 = np.zeros((len(rles), 4), dtype=np.int64)
    is_changed_N = np.zeros(len(rles), dtype=bool)
    cleaned_runs = []
    for index, rle in enumerate(rles):
        height, width = rle["size"]
        mask = mask_of_runs(np.array(rle["counts"], dtype=np.uint32), height, width)
        cleaned, is_changed_N[index] = without_small_regions(mask, min_area)
        cleaned_runs.append(runs_of_mask(cleaned))
        box_xyxy_N4[index] = box_of_runs(cleaned_runs[-1], height)
    order_N = np.argsort(is_changed_N, kind="stable")
    kept_N = kept_by_nms(order_N, box_iou(box_xyxy_N4), nms_thresh)
    for index in kept_N[is_changed_N[kept_N]].tolist():
        rles[index] = {"size": rles[index]["size"], "counts": cleaned_runs[index].tolist()}
        boxes[index] = (
            torch.from_numpy(box_xyxy_N4[index]) if isinstance(boxes, torch.Tensor) else box_xyxy_N4[index]
        )
    mask_data.filter(torch.from_numpy(kept_N))
    return mask_data


def _column(mask_data: MaskData, name: str) -> Any:
    try:
        if callable(mask_data.filter):
            return mask_data[name]
    except (AttributeError, KeyError, TypeError):
        pass
    raise ValueError(
        f"mask_data must be segment-anything's MaskData with rles and boxes, got {type(mask_data).__name__} "
        f"without {name}"
    )
