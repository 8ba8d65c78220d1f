"""Area, box and stability of masks from their logits, in two launches that write nothing at the crop's size.

From logits [N, L, M], float32 or float16, to float64 [N, 8] as in ScoredMasks. A program measures a strip of
64 pixel columns of one mask, over some rows of logits, and adds its counts to the mask's; pixels.py explains
the idea. Two thirds to nine tenths of the logits need no interpolation. Oracle: `scored_masks`.

Legend: N masks of L x M logits, H x W pixels of the crop.
"""

import numpy as np
import torch
import triton
import triton.language as tl

from sam_core.decoding.crop_frame import CropFrame
from sam_core.decoding.triton.device_taps import DeviceTaps
from sam_core.decoding.triton.pixels import SEGMENT, column_taps, mean, next_rows, row_taps, window_bits

# Tuned on an H100. Pixel columns of a program
STRIP = 64
# Segments of SEGMENT rows of logits per program; all in one would be slower for the few masks of a small
# batch
SEGMENTS = 3
# Logits loaded together
COLUMNS, ROWS = 32, 8
# Maximum: 25 programs of one warp fit a multiprocessor
REGISTERS = 80
# Rows of pixels that three counts of ten bits hold
PACKED_ROWS = tl.constexpr(1023)
# Masks of a program of the second launch
BLOCK = 256


@triton.jit
def _counted(  # type: ignore[no-untyped-def]
    row_weights, y0, y1, a, b, c, low, mid, high, packed, first_y, last_y
):
    """The counts and the first and last row inside, with the pixel rows y0..y1 of logits a, b and c."""
    for y in range(y0, y1):
        w0, w1, w2 = row_taps(row_weights, y)
        value = mean(a, b, c, w0, w1, w2)
        is_inside = value > mid
        counts = tl.where(value > low, 1, 0)
        counts = tl.where(is_inside, 1 + 1024, counts)
        packed += tl.where(value > high, 1 + 1024 + 1024 * 1024, counts)
        last_y = tl.where(is_inside, y, last_y)
        first_y = tl.where(is_inside, tl.minimum(first_y, y), first_y)
    return packed, first_y, last_y


@triton.jit
def _unpacked(packed, inside, area, around):  # type: ignore[no-untyped-def]
    return inside + (packed >> 20), area + ((packed >> 10) & 1023), around + (packed & 1023)


@triton.jit
def _add_area(  # type: ignore[no-untyped-def]
    out, area_px, x, valid, first_y, last_y, full_rows, full_top, full_bottom, H, W
):
    """Adds an area to a mask's, and what it covers to the mask's extent."""
    # each side as its distance from the opposite edge, so that the maximum is right and 0 means none
    used = valid & ((last_y >= 0) | (full_rows > 0))
    left = tl.max(tl.where(used, W - x, 0), axis=0)
    right = tl.max(tl.where(used, x + 1, 0), axis=0)
    top = tl.maximum(tl.max(tl.where(valid & (last_y >= 0), H - first_y, 0), axis=0), H - full_top)
    bottom = tl.maximum(tl.max(tl.where(valid, last_y + 1, 0), axis=0), full_bottom)
    tl.atomic_add(out + 2, area_px, sem="relaxed")
    tl.atomic_max(out + 3, left, sem="relaxed")
    tl.atomic_max(out + 4, top, sem="relaxed")
    tl.atomic_max(out + 5, right, sem="relaxed")
    tl.atomic_max(out + 6, bottom, sem="relaxed")


@triton.jit(
    do_not_specialize=[
        "mask_step",
        "row_step",
        "H",
        "W",
        "L",
        "M",
        "strips",
        "groups",
        "segments",
        "segments_here",
    ]
)
def _sums(  # type: ignore[no-untyped-def]
    logits, mask_step, row_step, row_start, row_weights, column_first, column_weights, predicted_iou, sums,
    H, W, L, M, strips, groups, segments, segments_here, low, mid, high, least_iou,
    SEGMENT: tl.constexpr, STRIP: tl.constexpr, COLUMNS: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Adds to sums [N, 8] the pixels above the high, low and middle cut, and the extent at the middle cut."""
    pid = tl.program_id(0)
    strip = pid % strips
    group = pid // strips % groups
    n = pid // strips // groups
    logits += n.to(tl.int64) * mask_step
    x0 = strip * STRIP
    x1 = tl.minimum(x0 + STRIP, W)
    x = x0 + tl.arange(0, STRIP)
    valid = x < W
    # lanes past the crop repeat its last column and are not summed
    at = tl.minimum(x, W - 1)
    first, u0, u1, u2 = column_taps(column_first, column_weights, at)
    start = tl.load(column_first + x0)
    stop = tl.minimum(tl.load(column_first + x1 - 1) + 3, M)

    inside = tl.zeros([STRIP], tl.int32)
    around = tl.zeros([STRIP], tl.int32)
    area = tl.zeros([STRIP], tl.int32)
    # three counts of ten bits: the cuts are nested, and one sum counts all of them
    packed = tl.zeros([STRIP], tl.int32)
    packed_rows = 0
    first_y = tl.full([STRIP], 0x7FFFFFFF, tl.int32)
    last_y = tl.full([STRIP], -1, tl.int32)
    # rows of pixels that are wholly inside
    full_rows = 0
    full_top = H
    full_bottom = 0
    # rows r + 1 and r + 2 of the logits at the strip's columns, where r is the row interpolated last
    b = tl.zeros([STRIP], tl.float32)
    c = tl.zeros([STRIP], tl.float32)
    last_r = -2

    begin = group * segments_here
    end = tl.minimum(begin + segments_here, segments)
    # a mask that will be dropped is not drawn, and its sums are 0
    end = tl.where(tl.load(predicted_iou + n) <= least_iou, begin, end)
    for segment in range(begin, end):
        r0 = segment * SEGMENT
        above, below = window_bits(logits, row_step, r0, L, start, stop, low, high, COLUMNS, ROWS)
        if above != 0:
            for r in range(r0, tl.minimum(r0 + SEGMENT, L)):
                if (above >> (r - r0)) & 1 != 0:
                    y0 = tl.load(row_start + r)
                    y1 = tl.load(row_start + r + 1)
                    if (below >> (r - r0)) & 1 == 0:
                        if y1 > y0:
                            full_rows += y1 - y0
                            full_top = tl.minimum(full_top, y0)
                            full_bottom = y1
                    else:
                        if packed_rows + y1 - y0 > PACKED_ROWS:
                            inside, area, around = _unpacked(packed, inside, area, around)
                            packed = tl.zeros([STRIP], tl.int32)
                            packed_rows = 0
                        packed_rows += y1 - y0
                        a, b, c = next_rows(logits, row_step, r, last_r, b, c, L, M, first, u0, u1, u2)
                        last_r = r
                        packed, first_y, last_y = _counted(
                            row_weights, y0, y1, a, b, c, low, mid, high, packed, first_y, last_y
                        )
    inside, area, around = _unpacked(packed, inside, area, around)

    full = full_rows * (x1 - x0)
    around_px = tl.sum(tl.where(valid, around, 0), axis=0) + full
    if around_px > 0:
        inside_px = tl.sum(tl.where(valid, inside, 0), axis=0) + full
        area_px = tl.sum(tl.where(valid, area, 0), axis=0) + full
        out = sums + n.to(tl.int64) * 8
        tl.atomic_add(out + 1, around_px, sem="relaxed")
        if inside_px > 0:
            tl.atomic_add(out, inside_px, sem="relaxed")
        if area_px > 0:
            _add_area(out, area_px, x, valid, first_y, last_y, full_rows, full_top, full_bottom, H, W)


@triton.jit(do_not_specialize=["N", "H", "W"])
def _columns(  # type: ignore[no-untyped-def]
    sums, predicted_iou, point_index, out, N, H, W, BLOCK: tl.constexpr
):
    """Sums to the columns of ScoredMasks.measures_N8, float64."""
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = n < N
    inside = tl.load(sums + 8 * n, mask=ok, other=0)
    around = tl.load(sums + 8 * n + 1, mask=ok, other=0)
    area = tl.load(sums + 8 * n + 2, mask=ok, other=0)
    left = W - tl.load(sums + 8 * n + 3, mask=ok, other=0)
    top = H - tl.load(sums + 8 * n + 4, mask=ok, other=0)
    right = tl.load(sums + 8 * n + 5, mask=ok, other=0) - 1
    bottom = tl.load(sums + 8 * n + 6, mask=ok, other=0) - 1
    some = area > 0
    # a float32 division with correct rounding: the GPU's own is not exact, one in float64 is exact enough
    stability = inside.to(tl.float32).to(tl.float64) / tl.maximum(around, 1).to(tl.float32).to(tl.float64)
    out += 8 * n
    tl.store(out, tl.load(predicted_iou + n, mask=ok, other=0).to(tl.float64), mask=ok)
    tl.store(out + 1, stability.to(tl.float32).to(tl.float64), mask=ok)
    tl.store(out + 2, area.to(tl.float64), mask=ok)
    tl.store(out + 3, tl.where(some, left, 0).to(tl.float64), mask=ok)
    tl.store(out + 4, tl.where(some, top, 0).to(tl.float64), mask=ok)
    tl.store(out + 5, tl.where(some, right, 0).to(tl.float64), mask=ok)
    tl.store(out + 6, tl.where(some, bottom, 0).to(tl.float64), mask=ok)
    tl.store(out + 7, tl.load(point_index + n, mask=ok, other=0).to(tl.float64), mask=ok)


def measured(
    logits_NLM: torch.Tensor,
    predicted_iou_N: torch.Tensor,
    point_index_N: torch.Tensor,
    taps: DeviceTaps,
    offset: float,
    threshold: float,
    least_iou: float | None,
) -> torch.Tensor:
    """Measures of the masks `logits > threshold`: float64 [N, 8], the columns of ScoredMasks.measures_N8.

    logits_NLM: float32 or float16; a view whose last stride is 1, of at least the rows and columns of the
    taps. predicted_iou_N is float32, point_index_N of whole numbers. Masks whose predicted IoU is not above
    least_iou are not drawn and count as empty. `is_measured` must hold for the frame.
    """
    N, L, M = logits_NLM.shape
    if taps.rows > L or taps.columns > M or (N and logits_NLM.stride(2) != 1):
        raise ValueError(
            f"logits {L} x {M} must be contiguous in rows and contain the taps' {taps.rows} x {taps.columns}"
        )
    segments, strips = triton.cdiv(taps.rows, SEGMENT), triton.cdiv(taps.width, STRIP)
    groups = triton.cdiv(segments, SEGMENTS)
    sums = torch.zeros((N, 8), dtype=torch.int32, device=logits_NLM.device)
    out = torch.empty((N, 8), dtype=torch.float64, device=logits_NLM.device)
    if not N:
        return out
    predicted_iou_N = predicted_iou_N.contiguous()
    _sums[(N * strips * groups,)](
        logits_NLM, *logits_NLM.stride()[:2],
        taps.row_start, taps.row_weights, taps.column_first, taps.column_weights, predicted_iou_N, sums,
        taps.height, taps.width, taps.rows, taps.columns, strips, groups, segments, SEGMENTS,
        threshold - offset, float(threshold), threshold + offset,
        float("-inf") if least_iou is None else float(least_iou),
        SEGMENT=SEGMENT, STRIP=STRIP, COLUMNS=COLUMNS, ROWS=ROWS, num_warps=1, maxnreg=REGISTERS,
    )  # fmt: skip
    _columns[(triton.cdiv(N, BLOCK),)](
        sums, predicted_iou_N, point_index_N.contiguous(), out, N, taps.height, taps.width, BLOCK=BLOCK
    )
    return out


def is_measured(frame: CropFrame) -> bool:
    """Whether a crop's counts fit the kernel's integers: the area, and the pixel rows per row of logits."""
    most_rows = int(np.bincount(frame.row_taps.first_P).max())
    return frame.height * frame.width < 2**31 and most_rows <= PACKED_ROWS.value
