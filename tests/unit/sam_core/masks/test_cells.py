"""Coverage of cells by the C library and by numpy, against pixels that are cut at the cells' edges."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco
from rle_ways import by_library_and_by_numpy

from sam_core.masks import cells
from sam_core.masks.cells import CellGrid, covered_cells
from sam_core.masks.rle import compressed_counts

_each_way = by_library_and_by_numpy(cells)


def encoded(mask_HW: np.ndarray) -> bytes:
    counts: bytes = coco.encode(np.asfortranarray(mask_HW.astype(np.uint8)))["counts"]
    return counts


def coverage(part_HW: np.ndarray, axis: int, shown: Fraction, count: int) -> np.ndarray:
    """The mask with one axis in cells: pixels are cut into so many parts that none crosses a cell's edge."""
    pixels_a_cell = part_HW.shape[axis] / shown
    fine = np.repeat(part_HW, pixels_a_cell.denominator, axis)
    a_cell = pixels_a_cell.numerator
    missing = [(0, 0), (0, 0)]
    missing[axis] = (0, count * a_cell - fine.shape[axis])
    padded = np.moveaxis(np.pad(fine, missing), axis, -1)
    return np.moveaxis(padded.reshape(*padded.shape[:-1], count, a_cell).mean(-1), -1, axis)


SHOWN = st.fractions(Fraction(1, 4), 6, max_denominator=4)


@given(st.integers(0, 2**32 - 1), st.tuples(*[st.integers(1, 30)] * 4), SHOWN, SHOWN)
def test_a_cell_is_covered_by_the_area_of_the_pixels_in_it(
    seed: int, sizes: tuple[int, int, int, int], down: Fraction, across: Fraction
) -> None:
    rng = np.random.default_rng(seed)
    height, width, y0, x0 = sizes
    part_HW = rng.random((height, width)) < rng.random()
    image_HW = np.pad(part_HW, ((y0, 2), (x0, 1)))
    rows, columns = math.ceil(down), math.ceil(across) + 1
    grid = CellGrid((x0, y0, x0 + width, y0 + height), rows, columns, float(down), float(across))
    covered = covered_cells([encoded(image_HW), encoded(image_HW & False)], *image_HW.shape, grid)
    expected = coverage(coverage(part_HW.astype(float), 0, down, rows), 1, across, columns)
    np.testing.assert_allclose(covered[0], expected, atol=1e-6)
    assert not covered[1].any()
    whole = np.pad(np.ones((height, width), bool), ((y0, 2), (x0, 1)))
    np.testing.assert_allclose(
        covered_cells([encoded(whole)], *image_HW.shape, grid)[0], grid.shown(), atol=1e-6
    )


def test_what_lies_outside_the_grid_counts_in_no_cell() -> None:
    rng = np.random.default_rng(0)
    mask_HW = rng.random((9, 8)) < 0.6
    grid = CellGrid((2, 3, 6, 7), 3, 3, 2.0, 2.0)
    inside_HW = np.zeros_like(mask_HW)
    inside_HW[3:7, 2:6] = mask_HW[3:7, 2:6]
    covered = covered_cells([encoded(mask_HW), encoded(inside_HW)], 9, 8, grid)
    np.testing.assert_array_equal(covered[0], covered[1])
    np.testing.assert_allclose(covered[0, 0, 0], mask_HW[3:5, 2:4].mean())


@pytest.mark.parametrize("pixel", [(0, 2**26 - 1), (2**26 - 1, 0)])
def test_a_mask_far_beyond_the_grid_covers_no_cell(pixel: tuple[int, int]) -> None:
    """The pixel's position in cells does not fit into 32 bits."""
    height, width = (1, 2**26) if pixel[1] else (2**26, 1)
    before = max(pixel)
    counts = compressed_counts(np.array([before, 1], np.uint32))
    grid = CellGrid((0, 0, 1, 1), 1, 1, 64.0, 64.0)
    assert not covered_cells([counts], height, width, grid).any()


def test_counts_that_are_no_mask_of_the_image_are_refused() -> None:
    grid = CellGrid((0, 0, 4, 4), 2, 2, 2.0, 2.0)
    with pytest.raises(ValueError, match=r"4 x 4|16"):
        covered_cells([encoded(np.ones((3, 3), bool))], 4, 4, grid)
