"""How far two programs agree on the masks of some images, matched one to one over all images together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as coco_mask
from scipy.optimize import linear_sum_assignment

from sam_core.masks.image_masks import ImageMasks

MATCH_IOU = 0.9


@dataclass(frozen=True)
class Agreement:
    """Agreement of lossy masks with exact ones."""

    exact: int
    lossy: int
    matched_share: float  # of the exact masks, those matched with an IoU of MATCH_IOU or more
    mean_iou: float  # of the matched
    largest_count_difference: float  # of one image, as a share of its exact masks

    def __str__(self) -> str:
        return (
            f"{self.matched_share:.1%} of {self.exact} masks matched at IoU >= {MATCH_IOU}, their mean IoU "
            f"{self.mean_iou:.4f}; {self.lossy} masks, and no image off by more than "
            f"{self.largest_count_difference:.1%}"
        )


def agreement(lossy: Sequence[ImageMasks], exact: Sequence[ImageMasks]) -> Agreement:
    """The agreement over all images, those with another number of masks included."""
    matched = np.concatenate([_matched_iou(*pair) for pair in zip(lossy, exact, strict=True)])
    masks = sum(map(len, exact))
    differences = [
        abs(len(ours) - len(theirs)) / max(1, len(theirs)) for ours, theirs in zip(lossy, exact, strict=True)
    ]
    return Agreement(
        exact=masks,
        lossy=sum(map(len, lossy)),
        matched_share=len(matched) / max(1, masks),
        mean_iou=float(matched.mean()) if len(matched) else 0.0,
        largest_count_difference=max(differences, default=0.0),
    )


def _matched_iou(ours: ImageMasks, theirs: ImageMasks) -> np.ndarray:
    if not len(ours) or not len(theirs):
        return np.empty(0)
    sides = [
        [{"size": [side.height, side.width], "counts": counts} for counts in side.counts]
        for side in (ours, theirs)
    ]
    iou = coco_mask.iou(*sides, [0] * len(theirs))
    best = iou[linear_sum_assignment(-iou)]
    return best[best >= MATCH_IOU]
