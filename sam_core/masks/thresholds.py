"""Applies the two score thresholds as SA does: in float32, and 0 keeps all masks."""

import numpy as np
import numpy.typing as npt

from sam_core.options import MaskOptions

Scores = npt.NDArray[np.float32]


def passes_predicted_iou(predicted_iou: Scores, options: MaskOptions) -> npt.NDArray[np.bool_]:
    """Whether each predicted IoU is above `pred_iou_thresh`; an array of the same shape."""
    if options.pred_iou_thresh == 0:
        return np.ones(predicted_iou.shape, dtype=bool)
    return predicted_iou > np.float32(options.pred_iou_thresh)


def passes_stability(stability_score: Scores, options: MaskOptions) -> npt.NDArray[np.bool_]:
    """Whether each score is `stability_score_thresh` or more, as sam_measure in C compares it."""
    if options.stability_score_thresh == 0:
        return np.ones(stability_score.shape, dtype=bool)
    return stability_score >= np.float32(options.stability_score_thresh)


def passes_thresholds(
    predicted_iou_N: Scores, stability_score_N: Scores, options: MaskOptions
) -> npt.NDArray[np.bool_]:
    """Whether each mask passes both."""
    return passes_predicted_iou(predicted_iou_N, options) & passes_stability(stability_score_N, options)
