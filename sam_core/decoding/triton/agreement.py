"""Checks on one crop that the kernels agree with plain torch on this card.

A few prompts are decoded both ways, and by the kernels once more as part of a large batch: the number of
prompts decides how the work is split among programs (look.py), and each split is a separate program. Drawing
in float16 differs by rounding. Measures, selection and run lengths of the same logits must not differ, except
where a pixel's logit lies within rounding of a threshold.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from pycocotools import mask as coco_mask

from sam_core.decoding.crop_frame import CropFrame
from sam_core.decoding.gpu_decoder import DeviceDecoder
from sam_core.decoding.triton.kernel_decoder import KernelDecoder, Kernels
from sam_core.decoding.triton.look import PROGRAMS
from sam_core.masks.image_masks import ImageMasks
from sam_core.masks.selection import masks_of_crop
from sam_core.model.sam import Sam
from sam_core.options import MaskOptions

POINTS_PER_SIDE = 6


@dataclass(frozen=True)
class Limits:
    """How far drawing by kernels may differ from plain torch in float32."""

    predicted_iou: float  # the largest difference
    logits: float  # root mean square, relative to the logits' spread


# interpreted, with 24 to 96 prompts on photos: 1.4e-3 and 0.0016 in float16, 5e-6 and 6e-6 in float32
LIMITS = {"float16": Limits(5e-3, 0.02), "float32": Limits(1e-4, 2e-4)}
# pixels that may differ: this share of a mask, or this number in any mask
MOST_OTHER_PIXELS, FEW_PIXELS = 0.002, 4


@torch.inference_mode()
def disagreement(
    sam: Sam,
    features_1Chw: torch.Tensor,
    frame: CropFrame,
    options: MaskOptions,
    kernels: Kernels,
) -> str | None:
    """What differs, in words; None if nothing does."""
    ticks = (np.arange(POINTS_PER_SIDE) + 0.5) / POINTS_PER_SIDE
    x, y = np.meshgrid(ticks * frame.width, ticks * frame.height)
    points_N2 = np.stack([x.ravel(), y.ravel()], axis=1)
    if kernels.fused is not None:
        limits = LIMITS[options.precision]
        exactly = DeviceDecoder(
            sam, features_1Chw, frame, options.model_copy(update={"precision": "float32"})
        )
        decoder = KernelDecoder(sam, features_1Chw, frame, options, kernels)
        coords_N2 = frame.input_points(points_N2).astype(np.float32)
        expected = exactly.drawn(coords_N2)
        if (why_not := _different_logits(decoder.drawn(coords_N2), expected, limits)) is not None:
            return why_not
        iou, logits = decoder.drawn(as_many(coords_N2))
        for start in range(0, len(iou), len(coords_N2)):
            part = slice(start, start + len(coords_N2))
            if (why_not := _different_logits((iou[part], logits[part]), expected, limits)) is not None:
                return f"of {len(iou)} prompts at once: {why_not}"
    # drawn by torch in both, so that only what follows can differ
    everything = options.model_copy(
        update={"pred_iou_thresh": 0, "stability_score_thresh": 0, "box_nms_thresh": 1}
    )
    place = (points_N2, (0, 0, frame.width, frame.height), (frame.height, frame.width))
    ours = KernelDecoder(sam, features_1Chw, frame, everything, Kernels(None)).masks(*place)
    plain = DeviceDecoder(sam, features_1Chw, frame, everything).candidates(points_N2)
    return _different_masks(ours, masks_of_crop(plain, *place, everything))


def as_many(coords_N2: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The points repeated until there are enough that each has its own program, as in a usual crop."""
    return np.tile(coords_N2, (math.ceil(PROGRAMS / len(coords_N2)), 1))


def _different_logits(
    ours: tuple[torch.Tensor, torch.Tensor], expected: tuple[torch.Tensor, torch.Tensor], limits: Limits
) -> str | None:
    """The same for predicted IoU [B, M] and logits [B, M, rows, columns]."""
    off = float((ours[0] - expected[0]).abs().max())
    if not off <= limits.predicted_iou:
        return f"predicted IoU differs by {off:.4f}"
    off = float((ours[1] - expected[1]).square().mean().sqrt() / expected[1].std())
    if not off <= limits.logits:
        return f"logits differ by {off:.4f} of their spread"
    return None


def _different_masks(ours: ImageMasks, expected: ImageMasks) -> str | None:
    if len(ours) != len(expected):
        return f"{len(ours)} masks are selected where torch selects {len(expected)}"
    for mine, other, area in zip(ours.counts, expected.counts, expected.area.tolist(), strict=True):
        off_px = _different_pixels(mine, other, ours.height, ours.width)
        if off_px > max(FEW_PIXELS, MOST_OTHER_PIXELS * area):
            return f"a mask of {area} pixels differs in {off_px}"
    return None


def _different_pixels(mine: bytes, other: bytes, height: int, width: int) -> int:
    sides = [{"size": [height, width], "counts": counts} for counts in (mine, other)]
    shared = int(coco_mask.area(coco_mask.merge(sides, intersect=True)))
    return int(coco_mask.area(sides[0])) + int(coco_mask.area(sides[1])) - 2 * shared
