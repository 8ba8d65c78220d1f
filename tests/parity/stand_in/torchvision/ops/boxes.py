"""The two box functions of torchvision that the original segment-anything imports, slow and obvious."""

import torch
from torch import Tensor


def box_area(boxes_xyxy: Tensor) -> Tensor:
    """Areas of boxes [N, 4]."""
    return (boxes_xyxy[:, 2] - boxes_xyxy[:, 0]) * (boxes_xyxy[:, 3] - boxes_xyxy[:, 1])


def batched_nms(boxes_xyxy: Tensor, scores: Tensor, idxs: Tensor, iou_threshold: float) -> Tensor:
    """Indices of the boxes that greedy suppression inside each category leaves, best score first."""
    left = scores.sort(descending=True, stable=True).indices
    areas = box_area(boxes_xyxy)
    kept = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        top_left = torch.maximum(boxes_xyxy[best, :2], boxes_xyxy[left, :2])
        bottom_right = torch.minimum(boxes_xyxy[best, 2:], boxes_xyxy[left, 2:])
        shared = (bottom_right - top_left).clamp(min=0).prod(dim=1)
        iou = shared / (areas[best] + areas[left] - shared)
        # in float32, then against a double, as its CPU kernel
        left = left[~((iou.double() > iou_threshold) & (idxs[left] == idxs[best]))]
    return torch.stack(kept) if kept else torch.empty(0, dtype=torch.long)
