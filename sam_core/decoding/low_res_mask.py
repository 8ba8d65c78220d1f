"""A mask stored as the part of its low-resolution logits that decides it, and drawn on request.

Of a thousand candidates NMS keeps some sixty: the others never become pixels. A pixel is inside if a weighted
mean of a few neighbouring logits is above 0. Logits too far from every positive one to share such a mean do
not matter and are dropped.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# In logits: each of the two resizes reaches at most two logits further
REACH = 4
# Pixels drawn at a time: 16 MB as float32
BLOCK_PIXELS = 4 * 1024 * 1024


@dataclass(frozen=True)
class LowResMask:
    """The logits around a mask, from `row` and `column` of the crop's logits on; all others count as 0."""

    logits_LM: npt.NDArray[np.float32]
    row: int
    column: int


def low_res_mask(logits_LM: npt.NDArray[np.float32]) -> LowResMask:
    """The part of the logits that decides the mask; empty for an empty mask."""
    is_inside = logits_LM > 0
    rows, columns = _reach(is_inside, 1), _reach(is_inside, 0)
    return LowResMask(logits_LM[rows, columns].copy(), rows.start, columns.start)


def mask_runs(
    mask: LowResMask, rows_HL: npt.NDArray[np.float32], columns_WM: npt.NDArray[np.float32]
) -> npt.NDArray[np.uint32]:
    """Column-major run lengths of the mask at the crop's size; drawn a block of columns at a time."""
    H, W = len(rows_HL), len(columns_WM)
    L, M = mask.logits_LM.shape
    rows_HL, columns_WM = rows_HL[:, mask.row : mask.row + L], columns_WM[:, mask.column : mask.column + M]
    touched = np.flatnonzero(columns_WM.any(axis=1))
    if L == 0 or M == 0 or not len(touched):
        return np.array([H * W], dtype=np.uint32)
    tall_MH = mask.logits_LM.T @ rows_HL.T
    columns_a_block = max(1, BLOCK_PIXELS // H)
    edges = [np.empty(0, dtype=np.int64)]
    before = False
    for start in range(int(touched[0]), int(touched[-1]) + 1, columns_a_block):
        block = slice(start, min(start + columns_a_block, int(touched[-1]) + 1))
        is_inside = (columns_WM[block] @ tall_MH > 0).ravel()
        edges.append(np.flatnonzero(np.diff(is_inside, prepend=before)) + start * H)
        before = bool(is_inside[-1])
    changes = np.concatenate(edges)
    end = (int(touched[-1]) + 1) * H
    if before and end < H * W:
        changes = np.append(changes, end)
    runs = np.diff(changes, prepend=0, append=H * W).astype(np.uint32)
    return runs if runs[-1] else runs[:-1]


def _reach(is_inside_LM: npt.NDArray[np.bool_], axis: int) -> slice:
    places = np.flatnonzero(np.any(is_inside_LM, axis=axis))
    if not len(places):
        return slice(0, 0)
    return slice(max(0, int(places[0]) - REACH), int(places[-1]) + 1 + REACH)
