"""Finds where masks change along the image's column-major line, as COCO's runs need, without drawing them.

Input: logits [N, L, M] and the places of K of these masks. Output: all their changes, mask after mask. A
program goes down a strip of 32 pixel columns of one mask, as in pixels.py, twice: first it counts the changes
of each column, then, with the counts summed up, it writes each change to its place. Oracle: `mask_runs`,
`placed_runs`.

Legend: N masks of L x M logits, K of which are encoded, H x W pixels of the crop.
"""

import torch
import triton
import triton.language as tl

from sam_core.decoding.triton.device_taps import DeviceTaps
from sam_core.decoding.triton.pixels import (
    SEGMENT,
    column_taps,
    mean,
    next_rows,
    row_taps,
    wide_row,
    window_bits,
)
from sam_core.masks.crops import XYXY

# Tuned on an H100. Pixel columns of a program
STRIP = 32
# Logits loaded together
COLUMNS, ROWS = 32, 8


@triton.jit
def _changed(  # type: ignore[no-untyped-def]
    places, found, room, line, y, was, now, valid, WRITE: tl.constexpr
):
    """The changes found, with those from `was` to `now`; with WRITE, writes their places on row y."""
    change = was ^ now
    if WRITE:
        written = valid & (change != 0) & (found < room)
        tl.store(places + found, line + y, mask=written)
    return found + change


@triton.jit(do_not_specialize=[
    "mask_step", "row_step", "room", "H", "W", "L", "M", "segments",
    "left", "top", "image_width", "image_height",
])  # fmt: skip
def _edges(  # type: ignore[no-untyped-def]
    logits, mask_step, row_step, row_start, row_first, row_weights, column_first, column_weights,
    kept, count, counts, ends, places, room,
    H, W, L, M, segments, left, top, image_width, image_height, cut,
    WRITE: tl.constexpr, SEGMENT: tl.constexpr, STRIP: tl.constexpr,
    COLUMNS: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Counts the changes of each column of mask kept[k] in counts [K, W]; with WRITE, writes their places."""
    strip = tl.program_id(0)
    k = tl.program_id(1)
    x0 = strip * STRIP
    x1 = tl.minimum(x0 + STRIP, W)
    x = x0 + tl.arange(0, STRIP)
    valid = x < W
    at = tl.minimum(x, W - 1)
    if k < tl.load(count):
        logits += tl.load(kept + k).to(tl.int64) * mask_step
        # the pixel before a column's first is the last of the column to its left, if the image is as high
        first, u0, u1, u2 = column_taps(column_first, column_weights, tl.maximum(at - 1, 0))
        r = tl.load(row_first + H - 1)
        a = wide_row(logits, row_step, r, L, M, first, u0, u1, u2)
        b = wide_row(logits, row_step, r + 1, L, M, first, u0, u1, u2)
        c = wide_row(logits, row_step, r + 2, L, M, first, u0, u1, u2)
        # row_taps(row_weights, H - 1) would take two more instructions
        w0 = tl.load(row_weights + 3 * H - 3)
        w1 = tl.load(row_weights + 3 * H - 2)
        w2 = tl.load(row_weights + 3 * H - 1)
        was = ((mean(a, b, c, w0, w1, w2) > cut) & (x > 0) & (image_height == H)).to(tl.int32)

        first, u0, u1, u2 = column_taps(column_first, column_weights, at)
        start = tl.load(column_first + x0)
        stop = tl.minimum(tl.load(column_first + x1 - 1) + 3, M)
        line = (left + x) * image_height + top
        place = k * W + at
        found = tl.zeros([STRIP], tl.int32)
        if WRITE:
            # nothing is written past the room, whose end fits 32 bits
            found = tl.minimum(tl.load(ends + place) - tl.load(counts + place), room).to(tl.int32)
        last_r = -2
        for segment in range(0, segments):
            r0 = segment * SEGMENT
            above, below = window_bits(logits, row_step, r0, L, start, stop, cut, cut, COLUMNS, ROWS)
            if above == 0:
                # a change, if any, is at the first row
                y0 = tl.load(row_start + r0)
                if tl.load(row_start + tl.minimum(r0 + SEGMENT, L)) > y0:
                    now = tl.zeros([STRIP], tl.int32)
                    found = _changed(places, found, room, line, y0, was, now, valid, WRITE)
                    was = now
            else:
                for r in range(r0, tl.minimum(r0 + SEGMENT, L)):
                    y0 = tl.load(row_start + r)
                    y1 = tl.load(row_start + r + 1)
                    some = ((above >> (r - r0)) & 1).to(tl.int32)
                    if (some == 0) | ((below >> (r - r0)) & 1 == 0):
                        if y1 > y0:
                            now = tl.zeros([STRIP], tl.int32) + some
                            found = _changed(places, found, room, line, y0, was, now, valid, WRITE)
                            was = now
                    else:
                        a, b, c = next_rows(logits, row_step, r, last_r, b, c, L, M, first, u0, u1, u2)
                        last_r = r
                        for y in range(y0, y1):
                            w0, w1, w2 = row_taps(row_weights, y)
                            now = (mean(a, b, c, w0, w1, w2) > cut).to(tl.int32)
                            found = _changed(places, found, room, line, y, was, now, valid, WRITE)
                            was = now
        # if the crop is shorter than the image, runs end with each column, else with the crop's last one
        ends_here = ((image_height != H) | (x == W - 1)) & (line + H < image_width * image_height)
        ending = tl.where(ends_here, was, 0)
        if WRITE:
            tl.store(places + found, line + H, mask=valid & (ending != 0) & (found < room))
        else:
            tl.store(counts + place, found + ending, mask=valid)
    elif not WRITE:
        tl.store(counts + k * W + at, tl.zeros([STRIP], tl.int32), mask=valid)


def edges_of(
    logits_NLM: torch.Tensor,
    kept: torch.Tensor,
    count: torch.Tensor,
    taps: DeviceTaps,
    capacity: int,
    threshold: float,
    room: int,
    crop_xyxy: XYXY,
    image_size: tuple[int, int],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Places on the image's column-major line where the masks kept[:count] change, and where each mask's end.

    Returns the places, int32 [room], mask after mask, and the ends, int64 [capacity]. Places past `room` are
    not written, and masks past `capacity` are left out. logits_NLM as for `measured`; image_size is
    (height, width), less than 2^31 pixels. Equals the runs of `mask_runs` and `placed_runs`, summed up.
    """
    device, W = logits_NLM.device, taps.width
    image_height, image_width = image_size
    counts = torch.empty(capacity * W, dtype=torch.int32, device=device)
    places = torch.empty(room, dtype=torch.int32, device=device)
    # not read while changes are counted
    ends = counts
    for write in (False, True):
        _edges[(triton.cdiv(W, STRIP), capacity)](
            logits_NLM, *logits_NLM.stride()[:2],
            taps.row_start, taps.row_first, taps.row_weights, taps.column_first, taps.column_weights,
            kept, count, counts, ends, places, room,
            taps.height, W, taps.rows, taps.columns, triton.cdiv(taps.rows, SEGMENT),
            *crop_xyxy[:2], image_width, image_height, float(threshold),
            WRITE=write, SEGMENT=SEGMENT, STRIP=STRIP, COLUMNS=COLUMNS, ROWS=ROWS, num_warps=1,
        )  # fmt: skip
        if not write:
            ends = torch.cumsum(counts, 0, dtype=torch.int64)
    return places, ends.view(capacity, W)[:, -1].contiguous()
