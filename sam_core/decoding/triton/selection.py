"""Selects the measured masks of a crop in one launch: thresholds, crop edge, largest area, greedy box NMS.

From float64 [N, 8] to the places of the kept masks, best first. One program holds all N: it takes the best
remaining mask by a maximum and drops the masks that overlap it, until none is left. There is no sort and no
wait for the host. Oracle: `passing`, and the steps of `masks_of_crop` before it encodes.
"""

import math

import torch
import triton
import triton.language as tl

from sam_core.masks.crops import XYXY
from sam_core.masks.selection import EDGE_PX
from sam_core.options import MaskOptions

# Masks that one program holds in registers
MOST_MASKS = 8192
# Tuned on an H100
WARPS = 16
# The key of a mask that is dropped
OUT = tl.constexpr(-(1 << 62))


@triton.jit(
    do_not_specialize=["N", "most_px", "x0", "y0", "x1", "y1", "image_width", "image_height", "capacity"]
)
def _selected(  # type: ignore[no-untyped-def]
    measures, nms_thresh, kept, count,
    N, least_iou, least_stability, most_px, x0, y0, x1, y1, image_width, image_height, capacity,
    EDGE_PX: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    n = tl.arange(0, BLOCK)
    ok = n < N
    iou = tl.load(measures + 8 * n, mask=ok, other=0).to(tl.float32)
    stability = tl.load(measures + 8 * n + 1, mask=ok, other=0).to(tl.float32)
    area = tl.load(measures + 8 * n + 2, mask=ok, other=0).to(tl.int32)
    left = tl.load(measures + 8 * n + 3, mask=ok, other=0).to(tl.int32) + x0
    top = tl.load(measures + 8 * n + 4, mask=ok, other=0).to(tl.int32) + y0
    right = tl.load(measures + 8 * n + 5, mask=ok, other=0).to(tl.int32) + x0
    bottom = tl.load(measures + 8 * n + 6, mask=ok, other=0).to(tl.int32) + y0
    stays = ok & (iou > least_iou) & (stability >= least_stability) & (area <= most_px)
    is_cut = (tl.abs(left - x0) <= EDGE_PX) & (left > EDGE_PX)
    is_cut = is_cut | ((tl.abs(top - y0) <= EDGE_PX) & (top > EDGE_PX))
    is_cut = is_cut | ((tl.abs(right - x1) <= EDGE_PX) & (tl.abs(right - image_width) > EDGE_PX))
    is_cut = is_cut | ((tl.abs(bottom - y1) <= EDGE_PX) & (tl.abs(bottom - image_height) > EDGE_PX))
    # the greatest key is the best: the score's bits in the order of whole numbers, then the first place
    bits = tl.where(iou == 0, 0.0, iou).to(tl.int32, bitcast=True)
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    key = (ordered.to(tl.int64) << 31) + (0x7FFFFFFF - n).to(tl.int64)
    key = tl.where(stays & (is_cut == 0), key, OUT)
    box_px = (right - left) * (bottom - top)
    thresh = tl.load(nms_thresh)
    found = 0
    best = tl.max(key, axis=0)
    while best > OUT:
        one = (0x7FFFFFFF - (best & 0x7FFFFFFF)).to(tl.int32)
        if found < capacity:
            tl.store(kept + found, one)
        found += 1
        one_left = tl.load(measures + 8 * one + 3).to(tl.int32) + x0
        one_top = tl.load(measures + 8 * one + 4).to(tl.int32) + y0
        one_right = tl.load(measures + 8 * one + 5).to(tl.int32) + x0
        one_bottom = tl.load(measures + 8 * one + 6).to(tl.int32) + y0
        wide = tl.maximum(tl.minimum(right, one_right) - tl.maximum(left, one_left), 0)
        high = tl.maximum(tl.minimum(bottom, one_bottom) - tl.maximum(top, one_top), 0)
        shared = wide * high
        union = (one_right - one_left) * (one_bottom - one_top) + box_px - shared
        # 0 / 0, of boxes without extent, suppresses nothing
        # rounded to float32, as torchvision's on a CPU is; a float32 division would be an approximate one
        iou_of_boxes = (shared.to(tl.float64) / tl.maximum(union, 1).to(tl.float64)).to(tl.float32)
        key = tl.where((n == one) | ((shared > 0) & (iou_of_boxes.to(tl.float64) > thresh)), OUT, key)
        best = tl.max(key, axis=0)
    tl.store(count, found)


def selected(
    measures_N8: torch.Tensor,
    options: MaskOptions,
    crop_xyxy: XYXY,
    image_size: tuple[int, int],
    capacity: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Places of the kept masks, best first, int32 [capacity], and their number, int32 [1].

    measures_N8 is contiguous, of at most MOST_MASKS masks, in pixels of the crop; image_size is (height,
    width). The number may exceed `capacity`. NMS by masks, which encodes first, is left to the caller.
    """
    N = len(measures_N8)
    if N > MOST_MASKS:
        raise ValueError(f"{N} masks are more than the {MOST_MASKS} that one program can select from")
    device = measures_N8.device
    kept = torch.zeros(capacity, dtype=torch.int32, device=device)
    count = torch.zeros(1, dtype=torch.int32, device=device)
    if not N:
        return kept, count
    height, width = image_size
    # in a tensor, because a kernel's argument would be rounded to float32
    thresh = options.box_nms_thresh if options.nms_overlap == "box" else math.inf
    nms_thresh = torch.full((1,), thresh, dtype=torch.float64, device=device)
    most_px = math.floor(options.max_mask_area * height * width)
    _selected[(1,)](
        measures_N8, nms_thresh, kept, count,
        N, _least(options.pred_iou_thresh), _least(options.stability_score_thresh), most_px,
        *crop_xyxy, width, height, capacity,
        EDGE_PX=EDGE_PX, BLOCK=max(64, triton.next_power_of_2(N)), num_warps=WARPS,
    )  # fmt: skip
    return kept, count


def _least(thresh: float) -> float:
    """The threshold as the kernel compares it; 0 keeps all."""
    return thresh if thresh > 0 else -math.inf
