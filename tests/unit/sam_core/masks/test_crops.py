"""Crops, tiles and point grids."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sam_core.masks.crops import (
    MOST_SIDE,
    image_crops,
    image_tiles,
    labelled_crops,
    layer_point_grids,
    point_grid,
)
from sam_core.options import MaskOptions


def test_crops_of_a_photo() -> None:
    crops = image_crops(400, 600, 1, 512 / 1500)  # overlap of int(400 * 0.3413) = 136
    assert [crop.xyxy for crop in crops] == [
        (0, 0, 600, 400),
        (0, 0, 368, 268),
        (0, 132, 368, 400),
        (232, 0, 600, 268),
        (232, 132, 600, 400),
    ]
    assert [crop.layer for crop in crops] == [0, 1, 1, 1, 1]


@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 4), st.floats(0, 0.9))
def test_layers_cover_the_image_and_no_crop_is_empty(
    height: int, width: int, layers: int, overlap: float
) -> None:
    for layer in range(1, layers + 1):
        is_covered = np.zeros((height, width), dtype=bool)
        for crop in image_crops(height, width, layers, overlap):
            x0, y0, x1, y1 = crop.xyxy
            assert 0 <= x0 < x1 <= width
            assert 0 <= y0 < y1 <= height
            if crop.layer == layer:
                is_covered[y0:y1, x0:x1] = True
        assert is_covered.all()


@given(st.integers(1, 200), st.integers(1, 200), st.integers(20, 60), st.floats(0, 0.9))
def test_tiles_cover_the_image_in_one_size(height: int, width: int, tile_size: int, overlap: float) -> None:
    is_covered = np.zeros((height, width), dtype=bool)
    for tile in image_tiles(height, width, tile_size, overlap):
        x0, y0, x1, y1 = tile.xyxy
        assert (x1 - x0, y1 - y0) == (min(tile_size, width), min(tile_size, height))
        assert x0 >= 0
        assert y0 >= 0
        assert x1 <= width
        assert y1 <= height
        is_covered[y0:y1, x0:x1] = True
    assert is_covered.all()


def test_neighbouring_tiles_share_what_was_asked_for() -> None:
    left, right = image_tiles(100, 150, 100, 0.5)
    assert left.xyxy[2] - right.xyxy[0] == 50


def test_tiles_take_the_place_of_the_whole_image() -> None:
    crops = labelled_crops(1000, 1000, MaskOptions(tile_size=700))
    assert len(crops) == 4
    assert all(crop.layer == 0 for crop in crops)


def test_a_grid_is_made_of_the_centres_of_cells() -> None:
    assert point_grid(2).tolist() == [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]


@pytest.mark.parametrize(("side", "sides"), [(32, [32, 16, 8]), (3, [3, 1, 1])])
def test_grids_of_layers_are_thinned_to_a_point_at_least(side: int, sides: list[int]) -> None:
    assert [len(grid) for grid in layer_point_grids(side, 2, 2)] == [points**2 for points in sides]


@pytest.mark.parametrize("size", [(MOST_SIDE + 1, 1), (1, MOST_SIDE + 1), (1 << 16, 1 << 16)])
def test_an_image_that_is_too_large_for_masks_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="cut it into smaller images"):
        labelled_crops(*size, MaskOptions(tile_size=1024))
