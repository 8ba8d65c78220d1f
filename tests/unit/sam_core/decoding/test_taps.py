"""The taps of a crop's frame against the product of two dense matrices, one for each resize step."""

import numpy as np
import pytest

from sam_core.decoding.crop_frame import CropFrame
from sam_core.decoding.taps import TAPS, Taps, resize_taps

SIZES = [(512, 512), (534, 800), (1500, 2250), (2250, 1500), (64, 64), (100, 37), (1, 3000), (3000, 1),
         (7, 9), (1, 1), (1024, 1024), (333, 1001), (256, 256), (427, 640), (2, 9000)]  # fmt: skip


def bilinear_matrix(out_size: int, in_size: int) -> np.ndarray:
    position = np.clip((np.arange(out_size) + 0.5) * (in_size / out_size) - 0.5, 0, in_size - 1)
    low = np.floor(position).astype(np.int64)
    matrix = np.zeros((out_size, in_size))
    np.add.at(matrix, (np.arange(out_size), low), 1 - (position - low))
    np.add.at(matrix, (np.arange(out_size), np.minimum(low + 1, in_size - 1)), position - low)
    return matrix


def composite_matrix(pixels: int, input_pixels: int, image_size: int, low_res_size: int) -> np.ndarray:
    """Both steps as one dense product, cut to the logits that have a weight."""
    composite = (
        bilinear_matrix(pixels, input_pixels) @ bilinear_matrix(image_size, low_res_size)[:input_pixels]
    )
    used = int(np.flatnonzero(composite.any(axis=0))[-1]) + 1
    return composite[:, :used].astype(np.float32)


def assert_taps_hold(taps: Taps, matrix_PL: np.ndarray) -> None:
    """The taps equal the matrix to the last bit, and have all properties that their users rely on."""
    np.testing.assert_array_equal(taps.matrix(), matrix_PL)
    assert taps.logits == matrix_PL.shape[1]
    assert (np.diff(taps.first_P) >= 0).all()
    assert taps.first_P.min() >= 0
    assert taps.first_P.max() <= max(taps.logits - TAPS, 0)
    assert (taps.weights_P3 >= 0).all()
    np.testing.assert_allclose(taps.weights_P3.sum(axis=1), 1, atol=1e-6)
    assert (taps.first_P.dtype, taps.weights_P3.dtype) == (np.int32, np.float32)


@pytest.mark.parametrize("size", SIZES)
def test_taps_are_the_dense_product_to_the_bit(size: tuple[int, int]) -> None:
    frame = CropFrame(*size)
    for taps, pixels, fitted in zip((frame.row_taps, frame.column_taps), size, frame.input_size, strict=True):
        assert_taps_hold(taps, composite_matrix(pixels, fitted, 1024, 256))
    assert frame.shown == (frame.row_taps.logits, frame.column_taps.logits)


@pytest.mark.parametrize("grid", [1, 2, 4])
def test_taps_of_small_models_too(grid: int) -> None:
    for pixels in (1, 2, 3, 5, 16, 61, 64, 200):
        for fitted in {1, 2, 9, 8 * grid, 16 * grid - 1, 16 * grid} & set(range(1, 16 * grid + 1)):
            taps = resize_taps(pixels, fitted, 16 * grid, 4 * grid)
            assert_taps_hold(taps, composite_matrix(pixels, fitted, 16 * grid, 4 * grid))


def test_an_input_smaller_than_the_logits_is_refused() -> None:
    with pytest.raises(ValueError, match="not from 256 to 64"):
        resize_taps(100, 64, 64, 256)
