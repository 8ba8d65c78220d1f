"""The measures of drawn masks, between a decoder's batches and its Candidates."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from sam_core.decoding.mask_measures import mask_measures
from sam_core.masks.candidates import Candidates
from sam_core.masks.thresholds import passes_thresholds
from sam_core.options import MaskOptions

Measures = npt.NDArray[np.float64]  # [N, 8], see ScoredMasks


@dataclass(frozen=True)
class ScoredMasks:
    """N masks on the device, as logits over the part of the square that shows the crop."""

    # predicted IoU, stability score, area, box XYXY, index of the point: one tensor, for a single copy to the
    # host, in float64, which holds each of them exactly
    measures_N8: torch.Tensor
    logits_NLM: torch.Tensor  # float32, the mask is where they are above 0


def scored_masks(
    logits_NLM: torch.Tensor,
    predicted_iou_N: torch.Tensor,
    point_index_N: torch.Tensor,
    resize: tuple[torch.Tensor, torch.Tensor],
    offset: float,
) -> ScoredMasks:
    """The masks with their measures; `resize` are the matrices of the crop frame's taps on the device."""
    measures = mask_measures(logits_NLM, *resize, offset)
    columns = [predicted_iou_N, measures.stability_score_N, measures.area_N]
    columns += [*measures.box_xyxy_N4.T, point_index_N]
    return ScoredMasks(torch.stack([column.double() for column in columns], dim=1), logits_NLM)


def passing(measures_N8: Measures, options: MaskOptions) -> npt.NDArray[np.int64]:
    """Positions of the masks that pass both score thresholds, in order."""
    # float32, in which the scores were made
    iou_N, stability_N = measures_N8[:, :2].astype(np.float32).T
    return np.flatnonzero(passes_thresholds(iou_N, stability_N, options))


def candidates_of(
    measures: Sequence[Measures],
    runs: Callable[[npt.NDArray[np.int64]], Iterable[npt.NDArray[np.uint32]]],
) -> Candidates:
    """The candidates of a crop from the measures of its batches, and how to draw them."""
    columns = np.concatenate([np.empty((0, 8)), *measures]).T
    return Candidates(
        predicted_iou_N=columns[0].astype(np.float32),
        stability_score_N=columns[1].astype(np.float32),
        area_N=columns[2].astype(np.int64),
        box_xyxy_N4=columns[3:7].T.astype(np.int64),
        point_index_N=columns[7].astype(np.int64),
        runs=runs,
    )
