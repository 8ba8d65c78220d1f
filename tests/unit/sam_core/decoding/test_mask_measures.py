"""Masks at the crop's size from low-resolution logits, against SA's way, which resizes the whole twice."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sam_core.decoding import low_res_mask as low_res_mask_module
from sam_core.decoding import mask_measures as mask_measures_module
from sam_core.decoding.crop_frame import CropFrame
from sam_core.decoding.low_res_mask import low_res_mask, mask_runs
from sam_core.decoding.mask_measures import mask_measures, stability_score
from sam_core.masks.rle import runs_of_mask

SIZES = [(30, 41), (97, 33), (64, 64), (200, 150), (1, 50)]  # model input 64, logits 16 x 16


def logits_of(seed: int, count: int = 6) -> torch.Tensor:
    """Smooth random logits, blobs of several sizes; the last mask is empty, the one before full."""
    noise = torch.randn(count, 1, 5, 5, generator=torch.Generator().manual_seed(seed))
    logits = F.interpolate(noise, (16, 16), mode="bicubic")[:, 0] * 4 - torch.arange(count)[:, None, None] / 2
    logits[-1], logits[-2] = -5, 5
    return logits


def full_size(logits: torch.Tensor, frame: CropFrame) -> torch.Tensor:
    square = F.interpolate(logits[:, None].double(), (64, 64), mode="bilinear", align_corners=False)
    height, width = frame.input_size
    cut = square[..., :height, :width]
    return F.interpolate(cut, (frame.height, frame.width), mode="bilinear", align_corners=False)[:, 0]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("block", [50, 4_000_000])
def test_measures_are_those_of_full_size_masks(
    size: tuple[int, int], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mask_measures_module, "BLOCK_PIXELS", block)
    frame = CropFrame(*size, image_size=64, low_res_size=16)
    rows, columns = torch.tensor(frame.row_taps.matrix()), torch.tensor(frame.column_taps.matrix())
    logits = logits_of(seed=size[0])
    pixels = full_size(logits, frame)
    measures = mask_measures(logits[:, : rows.shape[1], : columns.shape[1]], rows, columns, offset=0.7)
    assert measures.area_N.tolist() == (pixels > 0).sum((1, 2)).tolist()
    inside, around = (pixels > 0.7).sum((1, 2)), (pixels > -0.7).sum((1, 2))
    expected = torch.where(around > 0, inside / around, torch.zeros(()))
    torch.testing.assert_close(measures.stability_score_N, expected.float())
    for mask, box in zip(pixels > 0, measures.box_xyxy_N4.tolist(), strict=True):
        y, x = mask.nonzero(as_tuple=True)
        assert box == ([x.min(), y.min(), x.max(), y.max()] if len(x) else [0, 0, 0, 0])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("block", [50, 4_000_000])
def test_runs_are_those_of_full_size_masks(
    size: tuple[int, int], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(low_res_mask_module, "BLOCK_PIXELS", block)
    frame = CropFrame(*size, image_size=64, low_res_size=16)
    rows, columns = frame.row_taps.matrix(), frame.column_taps.matrix()
    logits = logits_of(seed=size[1])
    for mask, low_res in zip(full_size(logits, frame) > 0, logits.numpy(), strict=True):
        kept = low_res_mask(low_res[: rows.shape[1], : columns.shape[1]])
        np.testing.assert_array_equal(mask_runs(kept, rows, columns), runs_of_mask(mask.numpy()))


def test_no_masks_give_empty_columns() -> None:
    measures = mask_measures(torch.empty(0, 4, 4), torch.ones(3, 4), torch.ones(5, 4), 1.0)
    assert measures.area_N.shape == (0,)
    assert measures.box_xyxy_N4.shape == (0, 4)
    assert measures.stability_score_N.shape == (0,)


def test_an_empty_mask_has_stability_0_and_not_0_over_0() -> None:
    assert stability_score(torch.tensor([0, 3]), torch.tensor([0, 4])).tolist() == [0.0, 0.75]


def test_wide_masks_do_not_overflow() -> None:
    """SA sums rows in 16 bits: from a width of 32,768 its stability score is wrong."""
    frame = CropFrame(2, 70_000, image_size=64, low_res_size=16)
    rows, columns = torch.tensor(frame.row_taps.matrix()), torch.tensor(frame.column_taps.matrix())
    measures = mask_measures(torch.full((1, 1, 16), 5.0), rows[:, :1], columns, offset=1.0)
    assert measures.area_N.tolist() == [140_000]
    assert measures.stability_score_N.tolist() == [1.0]
    assert measures.box_xyxy_N4.tolist() == [[0, 0, 69_999, 1]]
