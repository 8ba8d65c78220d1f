"""The kernel's measures, interpreted, against the torch decoder's."""

import numpy as np
import pytest
import torch
from smooth_logits import smooth_logits

from sam_core.decoding.crop_frame import CropFrame
from sam_core.decoding.scored_masks import scored_masks
from sam_core.decoding.triton import measures as measures_module
from sam_core.decoding.triton.device_taps import DeviceTaps
from sam_core.decoding.triton.measures import is_measured, measured

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
SMALL = {"image_size": 64, "low_res_size": 16}
LARGE = {"image_size": 512, "low_res_size": 128}  # more rows of logits than a program goes down


def scores(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Predicted IoU and index of the point."""
    return torch.rand(count, generator=torch.Generator().manual_seed(count)), torch.arange(count) // 3


def by_torch(logits_NLM: torch.Tensor, frame: CropFrame, offset: float) -> torch.Tensor:
    resize = (torch.from_numpy(frame.row_taps.matrix()), torch.from_numpy(frame.column_taps.matrix()))
    return scored_masks(logits_NLM, *scores(len(logits_NLM)), resize, offset).measures_N8


def by_kernel(
    logits_NLM: torch.Tensor, frame: CropFrame, offset: float, least_iou: float | None = None
) -> torch.Tensor:
    taps = DeviceTaps.of(frame, CPU)
    return measured(logits_NLM, *scores(len(logits_NLM)), taps, offset, 0.0, least_iou)


def assert_same(ours_N8: torch.Tensor, theirs_N8: torch.Tensor) -> None:
    torch.testing.assert_close(ours_N8, theirs_N8, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("frame", "masks"),
    [
        (CropFrame(30, 41, **SMALL), slice(2, 5)),
        (CropFrame(7, 9, **SMALL), slice(5)),
        (CropFrame(60, 33, **SMALL), slice(4, 5)),
        (CropFrame(40, 130, **SMALL), slice(4, 5)),
        (CropFrame(90, 1, **SMALL), slice(3, 5)),
        (CropFrame(1, 1, **SMALL), slice(7)),
        (CropFrame(24, 24, **LARGE), slice(2, 3)),
    ],
)
def test_measures_are_those_of_the_torch_decoder(frame: CropFrame, masks: slice) -> None:
    rows, columns = frame.shown
    shown = smooth_logits(7, frame, seed=frame.height)[masks, :rows, :columns]
    ours = by_kernel(shown, frame, 0.7)
    assert (ours[:, 2] > 0).any()
    assert_same(ours, by_torch(shown, frame, 0.7))


def test_measures_of_a_line_of_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures_module, "STRIP", 1024)
    frame = CropFrame(1, 3000)
    shown = smooth_logits(5, frame, seed=1)[:, :1]
    assert_same(by_kernel(shown, frame, 0.7), by_torch(shown, frame, 0.7))


def test_logits_may_be_float16_and_more_than_are_shown() -> None:
    frame = CropFrame(20, 41, **SMALL)
    rows, columns = frame.shown
    logits = smooth_logits(5, frame, seed=2).half()
    assert_same(by_kernel(logits, frame, 1.0), by_torch(logits[:, :rows, :columns].float(), frame, 1.0))


def test_masks_under_the_least_predicted_iou_are_empty() -> None:
    frame = CropFrame(9, 7, **SMALL)
    rows, columns = frame.shown
    shown = smooth_logits(6, frame, seed=3)[:, :rows, :columns] + 3
    iou_N, _ = scores(6)
    least = float(iou_N.sort().values[2])
    expected = by_torch(shown, frame, 1.0)
    drawn = (expected[:, 2] > 0).sum()
    expected[iou_N <= least, 1:7] = 0
    assert 0 < (expected[:, 2] > 0).sum() < drawn
    assert_same(by_kernel(shown, frame, 1.0, least), expected)


def test_more_masks_than_a_block_and_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures_module, "BLOCK", 4)
    frame = CropFrame(2, 3, **SMALL)
    logits = torch.linspace(-3, 3, 11)[:, None, None].expand(11, 16, 16).contiguous()
    rows, columns = frame.shown
    assert_same(by_kernel(logits, frame, 1.0), by_torch(logits[:, :rows, :columns], frame, 1.0))
    assert by_kernel(logits[:0], frame, 1.0).shape == (0, 8)


def test_counts_outlast_the_ten_bits_that_a_program_packs_them_in() -> None:
    frame = CropFrame(1030, 2, **SMALL)
    rows, columns = frame.shown
    shown = torch.full((1, rows, columns), 0.5)
    assert_same(by_kernel(shown, frame, 0.7), by_torch(shown, frame, 0.7))


def test_values_at_the_cuts_are_outside() -> None:
    frame = CropFrame(16, 16, **SMALL)
    logits = torch.tensor([0.0, 1.0, -1.0, 1e-30])[:, None, None].expand(4, 16, 16).contiguous()
    area_N, stability_N = by_kernel(logits, frame, 1.0)[:, [2, 1]].T
    assert area_N.tolist() == [0, 256, 0, 256]
    assert stability_N.tolist() == [0, 0, 0, 0]


def test_fewer_logits_than_the_taps_are_refused() -> None:
    frame = CropFrame(30, 41, **SMALL)
    with pytest.raises(ValueError, match="must be contiguous in rows"):
        by_kernel(torch.zeros(1, 3, 16), frame, 1.0)


def test_what_the_counts_cannot_hold_is_not_measured() -> None:
    assert is_measured(CropFrame(1500, 2250))
    assert not is_measured(CropFrame(50_000, 50_000))
    assert not is_measured(CropFrame(300_000, 3))


def test_taps_on_a_device_are_the_frames() -> None:
    frame = CropFrame(37, 53, **SMALL)
    taps = DeviceTaps.of(frame, CPU)
    np.testing.assert_array_equal(taps.row_weights.numpy(), frame.row_taps.weights_P3)
    np.testing.assert_array_equal(taps.column_weights.numpy(), frame.column_taps.weights_P3)
    np.testing.assert_array_equal(taps.column_first.numpy(), frame.column_taps.first_P)
    row_of_pixel = np.repeat(np.arange(taps.rows), np.diff(taps.row_start.numpy()))
    np.testing.assert_array_equal(row_of_pixel, frame.row_taps.first_P)
