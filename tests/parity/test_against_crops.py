"""Crops and point grids compared with the original's, for images of many shapes."""

from types import ModuleType

import numpy as np
import pytest

from sam_core.masks.crops import image_crops, layer_point_grids


@pytest.mark.parametrize("overlap_ratio", [512 / 1500, 0.0, 0.7])
@pytest.mark.parametrize("layers", [0, 1, 3])
def test_crops(segment_anything: ModuleType, layers: int, overlap_ratio: float) -> None:
    from segment_anything.utils.amg import generate_crop_boxes

    for height, width in np.random.default_rng(layers).integers(60, 5000, (30, 2)).tolist():
        boxes, layer_of = generate_crop_boxes((height, width), layers, overlap_ratio)
        crops = image_crops(height, width, layers, overlap_ratio)
        assert [list(crop.xyxy) for crop in crops] == boxes
        assert [crop.layer for crop in crops] == layer_of


@pytest.mark.parametrize(("side", "layers", "factor"), [(32, 0, 1), (32, 2, 2), (17, 1, 3), (9, 2, 1)])
def test_point_grids(segment_anything: ModuleType, side: int, layers: int, factor: int) -> None:
    from segment_anything.utils.amg import build_all_layer_point_grids

    grids = layer_point_grids(side, layers, factor)
    for grid, original in zip(grids, build_all_layer_point_grids(side, layers, factor), strict=True):
        np.testing.assert_allclose(grid, original)
