"""Area, box and stability of masks from low-resolution logits, without keeping a full-size mask.

The matrices of the crop frame's taps resize logits to the crop's size, a block of rows at a time, and only
counts are stored: the block bounds the memory for a crop of any size. Counts are int64.
"""

from dataclasses import dataclass

import torch

# Pixels at the crop's size held at a time: 16 MB as float32, which fit a CPU's outer cache
BLOCK_PIXELS = 4 * 1024 * 1024
# On a GPU 64 MB: about the size of its cache, and a quarter as many launches (some 14 per block)
GPU_BLOCK_PIXELS = 16 * 1024 * 1024


@dataclass(frozen=True)
class MaskMeasures:
    """What selection needs to know of N masks, in pixels of the crop."""

    stability_score_N: torch.Tensor  # float32
    area_N: torch.Tensor  # int64
    box_xyxy_N4: torch.Tensor  # int64, first and last pixel; zeros for an empty mask


def mask_measures(
    logits_NLM: torch.Tensor, rows_HL: torch.Tensor, columns_WM: torch.Tensor, offset: float
) -> MaskMeasures:
    """Measures of the masks `logits > 0` at the crop's size; 0 masks give empty columns.

    Source of the stability score: SAM, App. B; calculate_stability_score of segment-anything, commit dca509f.
    """
    block_pixels = BLOCK_PIXELS if logits_NLM.device.type == "cpu" else GPU_BLOCK_PIXELS
    masks_a_group = max(1, block_pixels // (len(columns_WM) * logits_NLM.shape[1]))
    groups = [
        _group_measures(logits_NLM[start : start + masks_a_group], rows_HL, columns_WM, offset, block_pixels)
        for start in range(0, max(1, len(logits_NLM)), masks_a_group)
    ]
    return MaskMeasures(
        torch.cat([group.stability_score_N for group in groups]),
        torch.cat([group.area_N for group in groups]),
        torch.cat([group.box_xyxy_N4 for group in groups]),
    )


def _group_measures(
    logits_NLM: torch.Tensor,
    rows_HL: torch.Tensor,
    columns_WM: torch.Tensor,
    offset: float,
    block_pixels: int,
) -> MaskMeasures:
    N, W = len(logits_NLM), len(columns_WM)
    rows_a_block = max(1, block_pixels // (W * max(1, N)))
    counts_3N = logits_NLM.new_zeros((3, N), dtype=torch.int64)
    has_row_blocks, has_column = [], logits_NLM.new_zeros((N, W), dtype=torch.bool)
    wide_NLW = logits_NLM @ columns_WM.T
    for start in range(0, len(rows_HL), rows_a_block):
        pixels_NHW = rows_HL[start : start + rows_a_block] @ wide_NLW
        counts_3N += torch.stack([_count(pixels_NHW > cut) for cut in (offset, -offset, 0.0)])
        has_row_blocks.append(pixels_NHW.amax(2) > 0)
        has_column |= pixels_NHW.amax(1) > 0
    inside_N, around_N, area_N = counts_3N
    (x0, x1), (y0, y1) = _span(has_column), _span(torch.cat(has_row_blocks, 1))
    return MaskMeasures(
        stability_score(inside_N, around_N),
        area_N,
        torch.stack([x0, y0, x1, y1], 1),
    )


def stability_score(inside_N: torch.Tensor, around_N: torch.Tensor) -> torch.Tensor:
    """IoU of each mask cut at +offset and at -offset, from the two areas; float32, 0 if both are empty.

    Source: SAM, App. B.
    """
    return inside_N.float() / around_N.clamp(min=1).float()


def _count(is_inside_NHW: torch.Tensor) -> torch.Tensor:
    # a row's sum in int32 is faster, and no row has 2^31 pixels; a mask may
    return is_inside_NHW.sum(2, dtype=torch.int32).sum(1, dtype=torch.int64)


def _span(is_used_NK: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """First and last used position of each row; 0 and 0 if none is used."""
    used = is_used_NK.to(torch.uint8)  # argmax gives the first of equals
    first_N = used.argmax(1)
    last_N = used.shape[1] - 1 - used.flip(1).argmax(1)
    return first_N, torch.where(is_used_NK.any(1), last_N, 0)
