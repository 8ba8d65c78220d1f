"""How much of each cell of a coarse grid a mask covers; cell edges may lie inside pixels.

N masks, h x w cells. As in decode.py, the C library computes it from the run lengths; without the library
numpy gives the same numbers, slower.
"""

from collections.abc import Sequence
from ctypes import byref
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sam_core.masks.crops import XYXY
from sam_core.masks.decode import packed_counts, plain_mask, refuse_unsound
from sam_core.masks.rle_library import Grid, library

Cells = npt.NDArray[np.float32]


@dataclass(frozen=True)
class CellGrid:
    """`rows` x `columns` cells, of which the first `rows_shown` and `columns_shown` lie over `xyxy`.

    These two may be fractions: the last cell over the part of the image may cover it only in part.
    """

    xyxy: XYXY  # the part of the image, in its pixels
    rows: int
    columns: int
    rows_shown: float
    columns_shown: float

    def shown(self) -> Cells:
        """How much of each cell lies over the part of the image, 0 to 1; float32 [h, w]."""
        down, across = (
            np.clip(shown - np.arange(cells), 0, 1)
            for cells, shown in ((self.rows, self.rows_shown), (self.columns, self.columns_shown))
        )
        return np.outer(down, across).astype(np.float32)


def covered_cells(counts: Sequence[bytes], height: int, width: int, grid: CellGrid) -> Cells:
    """How much of each cell each mask of a height x width image covers, 0 to 1; float32 [N, h, w].

    A pixel that lies over several cells counts in each by area.
    What a mask covers outside the grid's part of the image counts in no cell.
    Raises: ValueError if counts do not describe a mask of that size.
    """
    covered_Nhw = np.zeros((len(counts), grid.rows, grid.columns), np.float32)
    x0, y0, x1, y1 = grid.xyxy
    cells_a_row, cells_a_column = grid.rows_shown / (y1 - y0), grid.columns_shown / (x1 - x0)
    kernel = library()
    if kernel is None:
        rows_hH = _overlaps(grid.rows, y1 - y0, cells_a_row)
        columns_wW = _overlaps(grid.columns, x1 - x0, cells_a_column)
        for index, covered_hw in enumerate(covered_Nhw):
            mask_HW = plain_mask(index, counts, height, width)[y0:y1, x0:x1]
            covered_hw[:] = rows_hH @ mask_HW @ columns_wW.T
        return covered_Nhw
    packed, offsets = packed_counts(counts)
    unsound = kernel.rle_covered(
        packed,
        offsets.ctypes.data,
        len(counts),
        byref(Grid(height, width, x0, y0, x1, y1, grid.rows, grid.columns, cells_a_row, cells_a_column)),
        covered_Nhw.ctypes.data,
    )
    refuse_unsound(unsound, counts, height, width)
    return covered_Nhw


def _overlaps(cells: int, pixels: int, cells_a_pixel: float) -> npt.NDArray[np.float64]:
    """How much of each pixel's length lies in each cell, in cells; float64 [cells, pixels]."""
    edges = np.arange(pixels + 1) * cells_a_pixel
    cell = np.arange(cells)[:, None]
    overlaps_CP: npt.NDArray[np.float64] = np.minimum(edges[1:], cell + 1) - np.maximum(edges[:-1], cell)
    return overlaps_CP.clip(min=0)
