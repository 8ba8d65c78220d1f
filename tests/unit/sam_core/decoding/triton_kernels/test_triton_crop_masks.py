"""From logits to ImageMasks by the kernels, interpreted, against masks_of_crop with torch's measures."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch

from sam_core.decoding.crop_frame import CropFrame
from sam_core.decoding.low_res_mask import low_res_mask, mask_runs
from sam_core.decoding.scored_masks import candidates_of, passing, scored_masks
from sam_core.decoding.triton import edges, measures
from sam_core.decoding.triton.crop_masks import CropPlace, DrawnMasks, finished, is_served, queued_masks
from sam_core.decoding.triton.device_taps import DeviceTaps
from sam_core.masks.crops import XYXY
from sam_core.masks.image_masks import ImageMasks
from sam_core.masks.rle import area_of_runs, box_of_runs, compressed_counts_runs
from sam_core.masks.selection import masks_of_crop
from sam_core.options import MaskOptions

pytestmark = pytest.mark.usefixtures("one_thread")
FRAME = CropFrame(60, 90, image_size=128, low_res_size=32)
WHOLE = (0, 0, 90, 60)
LOOSE = MaskOptions(pred_iou_thresh=0.3, stability_score_thresh=0.2, box_nms_thresh=0.6)
POINTS = np.random.default_rng(0).random((3, 2)) * [90, 60]
# Centre and radius in logits: two equal discs, a similar one, one at the crop's edge, an empty and a full one
DISCS = [
    (10, 11, 1.5),
    (20, 11, 1.5),
    (20, 11, 1.5),
    (20, 11.2, 1.6),
    (30, 20, 1.5),
    (90, 90, 3),
    (16, 16, 60),
]


@pytest.fixture(autouse=True)
def large_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uses large blocks: the interpreter takes as long for many columns as for few."""
    for module in (measures, edges):
        monkeypatch.setattr(module, "STRIP", 128)
        monkeypatch.setattr(module, "ROWS", 32)


def drawn_masks(count: int = len(DISCS)) -> DrawnMasks:
    """Discs on the device, with random scores; two that do not overlap have the same score."""
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    discs = [radius - torch.hypot(x - at_x, y - at_y) for at_x, at_y, radius in DISCS[:count]]
    logits_NLM = torch.stack(discs) * 4 if discs else torch.empty(0, 32, 32)
    iou_N = 0.31 + 0.6 * torch.rand(count, generator=torch.Generator().manual_seed(7))
    iou_N[1:2] = iou_N[:1]
    return DrawnMasks(logits_NLM, iou_N, torch.arange(count) // 3, 0.0)


def by_torch(drawn: DrawnMasks, crop: XYXY, image: tuple[int, int], options: MaskOptions) -> ImageMasks:
    rows_HL, columns_WM = FRAME.row_taps.matrix(), FRAME.column_taps.matrix()
    shown = drawn.logits_NLM[:, : FRAME.shown[0], : FRAME.shown[1]]
    resize = (torch.from_numpy(rows_HL), torch.from_numpy(columns_WM))
    scored = scored_masks(
        shown, drawn.predicted_iou_N, drawn.point_index_N, resize, options.stability_score_offset
    )
    measures_N8 = scored.measures_N8.numpy()
    kept = passing(measures_N8, options)
    candidates = candidates_of(
        [measures_N8[kept]],
        lambda order: [
            mask_runs(low_res_mask(shown[kept[index]].numpy()), rows_HL, columns_WM) for index in order
        ],
    )
    return masks_of_crop(candidates, POINTS, crop, image, options)


def by_kernels(
    drawn: DrawnMasks, crop: XYXY, image: tuple[int, int], options: MaskOptions, **room: int
) -> ImageMasks:
    place = CropPlace(DeviceTaps.of(FRAME, torch.device("cpu")), crop, image)
    return finished(queued_masks(drawn, place, options, **{"capacity": 9, "room": 5000, **room}), POINTS)


def assert_equal(ours: ImageMasks, theirs: ImageMasks) -> None:
    for field in fields(ImageMasks):
        one, other = getattr(ours, field.name), getattr(theirs, field.name)
        if isinstance(one, np.ndarray):
            assert one.dtype == other.dtype, field.name
            np.testing.assert_array_equal(one, other, err_msg=field.name)
        else:
            assert one == other, field.name


@pytest.mark.parametrize(("crop", "image"), [(WHOLE, (60, 90)), ((50, 25, 140, 85), (120, 200))])
def test_masks_are_those_of_the_torch_decoder(crop: XYXY, image: tuple[int, int]) -> None:
    expected = by_torch(drawn_masks(), crop, image, LOOSE)
    assert len(expected) > 1
    masks = by_kernels(drawn_masks(), crop, image, LOOSE)
    assert_equal(masks, expected)
    for counts, area, box in zip(masks.counts, masks.area, masks.box_xyxy(), strict=True):
        runs = compressed_counts_runs(counts)
        assert (area_of_runs(runs), box_of_runs(runs, image[0])) == (area, tuple(box.astype(int)))


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({"pred_iou_thresh": 0, "stability_score_thresh": 0}, len(DISCS)),
        ({"nms_overlap": "mask"}, 4),
        ({"pred_iou_thresh": 1.5}, 4),  # none passes
    ],
)
def test_options_are_heeded(changes: dict[str, Any], count: int) -> None:
    options = MaskOptions(**{**LOOSE.model_dump(), **changes})
    drawn = drawn_masks(count)
    expected = by_torch(drawn, WHOLE, (60, 90), options)
    assert_equal(by_kernels(drawn, WHOLE, (60, 90), options), expected)


def test_without_enough_room_it_is_done_again() -> None:
    expected = by_torch(drawn_masks(3), WHOLE, (60, 90), LOOSE)
    assert len(expected) == 2
    assert_equal(by_kernels(drawn_masks(3), WHOLE, (60, 90), LOOSE, capacity=1, room=3), expected)


def test_no_masks_give_none() -> None:
    assert_equal(
        by_kernels(drawn_masks(0), WHOLE, (60, 90), LOOSE), by_torch(drawn_masks(0), WHOLE, (60, 90), LOOSE)
    )


def test_what_is_not_served_is_said() -> None:
    assert is_served(CropFrame(1500, 2250), (1500, 2250), 3072)
    assert not is_served(CropFrame(1500, 2250), (1500, 2250), 3 * 64 * 64)
    assert not is_served(CropFrame(1500, 2250), (50_000, 50_000), 3072)
    assert not is_served(CropFrame(300_000, 3), (300_000, 3), 3)
