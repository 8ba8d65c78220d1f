"""How well two programs agree on the masks of some images; masks are matched one to one."""

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
    matched_share: float  # share of the exact masks that are matched at `match_iou`
    mean_iou: float  # of the matched masks
    largest_count_difference: float  # of one image, as a share of its exact masks
    largest_score_difference: float  # of the predicted IoU of two matched masks
    match_iou: float

    def __str__(self) -> str:
        return (
            f"{self.matched_share:.1%} of {self.exact} masks matched at IoU >= {self.match_iou}, mean IoU "
            f"{self.mean_iou:.4f}; {self.lossy} masks, and no image off by more than "
            f"{self.largest_count_difference:.1%}"
        )


def agreement(
    lossy: Sequence[ImageMasks], exact: Sequence[ImageMasks], match_iou: float = MATCH_IOU
) -> Agreement:
    """The agreement over all images, including those where the numbers of masks differ."""
    pairs = [_matched(*pair, match_iou) for pair in zip(lossy, exact, strict=True)]
    iou, score_difference = (np.concatenate([pair[part] for pair in pairs]) for part in (0, 1))
    masks = sum(map(len, exact))
    differences = [
        abs(len(ours) - len(theirs)) / max(1, len(theirs)) for ours, theirs in zip(lossy, exact, strict=True)
    ]
    return Agreement(
        exact=masks,
        lossy=sum(map(len, lossy)),
        matched_share=len(iou) / max(1, masks),
        mean_iou=float(iou.mean()) if len(iou) else 0.0,
        largest_count_difference=max(differences, default=0.0),
        largest_score_difference=float(score_difference.max(initial=0)),
        match_iou=match_iou,
    )


def _matched(ours: ImageMasks, theirs: ImageMasks, match_iou: float) -> tuple[np.ndarray, np.ndarray]:
    """IoU and difference of the predicted IoU of each matched pair."""
    if not len(ours) or not len(theirs):
        return np.empty(0), np.empty(0)
    sides = [
        [{"size": [side.height, side.width], "counts": counts} for counts in side.counts]
        for side in (ours, theirs)
    ]
    iou = coco_mask.iou(*sides, [0] * len(theirs))
    pairs = linear_sum_assignment(-iou)
    is_match = iou[pairs] >= match_iou
    score_difference = np.abs(ours.predicted_iou[pairs[0]] - theirs.predicted_iou[pairs[1]])
    return iou[pairs][is_match], score_difference[is_match]
