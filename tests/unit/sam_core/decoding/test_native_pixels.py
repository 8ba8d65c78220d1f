"""The kernel's one pass over pixels against numpy: resize by whole matrices, cut, count, encode."""

import numpy as np
import pytest

from sam_core.decoding.crop_frame import CropFrame
from sam_core.decoding.native.pixels import PixelPass, Pixels
from sam_core.masks.rle import mask_of_runs, runs_of_mask


def pixels(logits_LM: np.ndarray, frame: CropFrame, offset: float, min_stability: float) -> Pixels | None:
    """The kernel's answer for logits [4 rows, 4 columns] of a grid of positions."""
    rows, columns = logits_LM.shape[0] // 4, logits_LM.shape[1] // 4
    plane = rows * columns * 16 // 4
    buffer = np.zeros((2, 4, plane), dtype=np.float32)  # the second mask is slack
    buffer[0] = logits_LM.reshape(rows, 4, -1).transpose(1, 0, 2).reshape(4, -1)
    return PixelPass(frame, (rows, columns), plane, 0.0, offset, min_stability).pixels(buffer)


def shown_logits(frame: CropFrame, seed: int) -> np.ndarray:
    rows = -(-frame.shown[0] // 4) * 4
    columns = -(-frame.shown[1] // 4) * 4
    coarse = np.random.default_rng(seed).normal(size=(rows // 4, columns // 4)) * 3
    return np.kron(coarse, np.ones((4, 4))).astype(np.float32)


# heights around the kernel's words of 64 pixels and its vectors; larger and smaller than the logits
@pytest.mark.parametrize(
    "size", [(63, 90), (64, 64), (65, 31), (129, 400), (1, 1), (1, 300), (300, 1), (16, 16), (1025, 700)]
)
def test_counts_box_and_runs_are_those_of_the_full_mask(size: tuple[int, int]) -> None:
    frame = CropFrame(*size)
    logits_LM = shown_logits(frame, seed=sum(size))
    rows_HL, columns_WM = (
        frame.row_taps.matrix().astype(np.float64),
        frame.column_taps.matrix().astype(np.float64),
    )
    shown_LM = logits_LM[: rows_HL.shape[1], : columns_WM.shape[1]].astype(np.float64)
    plain_HW = rows_HL @ shown_LM @ columns_WM.T
    answer = pixels(logits_LM, frame, offset=0.5, min_stability=0.0)
    assert answer is not None
    mask_HW = mask_of_runs(answer.runs, *size)
    unsure_HW = np.abs(plain_HW) < 1e-5
    np.testing.assert_array_equal(mask_HW[~unsure_HW], plain_HW[~unsure_HW] > 0)
    np.testing.assert_array_equal(answer.runs, runs_of_mask(mask_HW))
    assert answer.area == mask_HW.sum()
    over_low = np.count_nonzero(plain_HW > -0.5)
    expected = np.count_nonzero(plain_HW > 0.5) / over_low if over_low else 0.0
    assert answer.stability_score == pytest.approx(expected, abs=2 / mask_HW.size)
    y, x = np.nonzero(mask_HW)
    assert answer.box_xyxy == ((x.min(), y.min(), x.max(), y.max()) if len(y) else (0, 0, 0, 0))


def test_an_empty_mask_has_no_area_and_one_run() -> None:
    answer = pixels(np.full((256, 256), -5, dtype=np.float32), CropFrame(70, 70), 1.0, 0.0)
    assert answer is not None
    assert (answer.stability_score, answer.area, answer.box_xyxy, answer.runs.tolist()) == (
        0.0,
        0,
        (0, 0, 0, 0),
        [4900],
    )


def test_a_full_mask_begins_with_an_empty_run() -> None:
    answer = pixels(np.full((256, 256), 5, dtype=np.float32), CropFrame(70, 70), 1.0, 1.0)
    assert answer is not None
    assert (answer.stability_score, answer.area, answer.box_xyxy, answer.runs.tolist()) == (
        1.0,
        4900,
        (0, 0, 69, 69),
        [0, 4900],
    )


@pytest.mark.parametrize(("min_stability", "is_kept"), [(0.49, True), (0.5, True), (0.51, False)])
def test_a_mask_under_the_stability_asked_for_is_none(min_stability: float, is_kept: bool) -> None:
    """The left quarter is certain, the second is not: half of the pixels over -1 are over 1."""
    logits = np.full((256, 256), -9, dtype=np.float32)
    logits[:, :64], logits[:, 64:128] = 9, 0.5
    frame = CropFrame(256, 256)  # steps keep their place: two resizes by 4 and back
    answer = pixels(logits, frame, 1.0, 0.0)
    assert answer is not None
    exact = answer.stability_score
    assert exact == pytest.approx(0.5, abs=0.01)
    assert (pixels(logits, frame, 1.0, min_stability - 0.5 + exact) is not None) == is_kept
