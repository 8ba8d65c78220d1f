"""Selection by the kernel, interpreted, against masks_of_crop."""

import numpy as np
import pytest
import torch

from sam_core.decoding.scored_masks import candidates_of, passing
from sam_core.decoding.triton.selection import MOST_MASKS, selected
from sam_core.masks.crops import XYXY
from sam_core.masks.selection import masks_of_crop
from sam_core.options import MaskOptions

IMAGE = (534, 800)
WHOLE = (0, 0, 800, 534)
EVERY = MaskOptions(pred_iou_thresh=0, stability_score_thresh=0, box_nms_thresh=1)


def random_measures(count: int, crop: XYXY, seed: int) -> np.ndarray:
    """Boxes all over the crop, some without extent; scores of two digits, so that many are equal."""
    rng = np.random.default_rng(seed)
    size = np.array([crop[2] - crop[0], crop[3] - crop[1]])
    low = rng.integers(0, size, (count, 2))
    extent = rng.integers(0, size // 3, (count, 2))
    extent[::17] = 0
    high = np.minimum(low + extent, size - 1)
    scores = rng.uniform([0.5, 0.8], 1, (count, 2)).round(2).astype(np.float32)
    area = rng.integers(0, size.prod(), (count, 1))
    return np.concatenate([scores, area, low, high, np.arange(count)[:, None]], axis=1).astype(np.float64)


def by_host(measures_N8: np.ndarray, options: MaskOptions, crop: XYXY = WHOLE) -> list[int]:
    """The masks that masks_of_crop keeps, in order; each mask has its own point."""
    kept_N8 = measures_N8[passing(measures_N8, options)]
    candidates = candidates_of([kept_N8], lambda order: [np.array([1], dtype=np.uint32) for _ in order])
    points_N2 = np.stack([np.arange(len(measures_N8)), np.zeros(len(measures_N8))], axis=1)
    masks = masks_of_crop(candidates, points_N2, crop, IMAGE, options)
    return (masks.point_coords[:, 0] - crop[0]).astype(int).tolist()


def by_kernel(measures_N8: np.ndarray, options: MaskOptions, crop: XYXY = WHOLE) -> list[int]:
    kept, count = selected(torch.from_numpy(measures_N8), options, crop, IMAGE, capacity=2048)
    return kept[: int(count)].tolist()


@pytest.mark.parametrize("count", [1, 64, 300])
@pytest.mark.parametrize(
    ("crop", "options"),
    [
        (WHOLE, MaskOptions()),
        (WHOLE, MaskOptions(pred_iou_thresh=0, stability_score_thresh=0, box_nms_thresh=0)),
        ((300, 200, 800, 534), MaskOptions(max_mask_area=0.3, pred_iou_thresh=0.6)),
        ((100, 100, 500, 400), MaskOptions(stability_score_thresh=0.85, box_nms_thresh=0.4)),
    ],
)
def test_the_same_masks_stay_in_the_same_order(count: int, crop: XYXY, options: MaskOptions) -> None:
    measures_N8 = random_measures(count, crop, seed=count)
    kept = by_host(measures_N8, options, crop)
    assert by_kernel(measures_N8, options, crop) == kept
    assert count < 300 or len(kept) > 10


def mask(
    iou: float = 0.9, stability: float = 0.97, area: int = 9, box: tuple[int, ...] = (90, 90, 99, 99)
) -> list[float]:
    return [float(np.float32(iou)), float(np.float32(stability)), area, *box, 0]


def numbered(masks: list[list[float]]) -> np.ndarray:
    measures_N8 = np.array(masks, dtype=np.float64)
    measures_N8[:, 7] = np.arange(len(masks))
    return measures_N8


def test_scores_are_compared_in_float32() -> None:
    above, under = np.nextafter(np.float32(0.88), [1, 0], dtype=np.float32)
    least, less = np.float32(0.95), np.nextafter(np.float32(0.95), 0, dtype=np.float32)
    measures_N8 = numbered(
        [mask(iou=0.88), mask(iou=above), mask(iou=under), mask(stability=least), mask(stability=less)]
    )
    options = MaskOptions(box_nms_thresh=1)
    assert by_kernel(measures_N8, options) == by_host(measures_N8, options) == [3, 1]


def test_zero_keeps_every_score_and_equal_ones_keep_their_order() -> None:
    measures_N8 = numbered([mask(iou=iou, stability=0) for iou in (0.0, -0.5, 0.2, -0.0, 0.2, -0.7, 0.0)])
    measures_N8[3, 0] = -0.0
    assert by_kernel(measures_N8, EVERY) == by_host(measures_N8, EVERY) == [2, 4, 0, 3, 6, 1, 5]


def test_an_overlap_at_the_threshold_is_kept() -> None:
    """7 / 10 is 0.7 in float64, and above the 0.7 of float32."""
    measures_N8 = numbered(
        [mask(box=(100, 100, 110, 110)), mask(box=(100, 100, 107, 110)), mask(box=(100, 100, 108, 110))]
    )
    options = MaskOptions(box_nms_thresh=0.7)
    assert by_kernel(measures_N8, options) == by_host(measures_N8, options) == [0, 1]


def test_the_largest_area_is_kept() -> None:
    most = 0.37 * 534 * 800
    measures_N8 = numbered([mask(area=int(most)), mask(area=int(most) + 1)])
    options = EVERY.model_copy(update={"max_mask_area": 0.37})
    assert by_kernel(measures_N8, options) == by_host(measures_N8, options) == [0]


def test_nms_by_masks_is_left_to_the_caller() -> None:
    measures_N8 = numbered([mask(), mask()])
    assert by_kernel(measures_N8, MaskOptions(nms_overlap="mask")) == [0, 1]
    assert by_kernel(measures_N8, MaskOptions()) == [0]


def test_the_count_says_what_the_capacity_cuts_off() -> None:
    measures_N8 = random_measures(50, WHOLE, seed=5)
    whole = by_host(measures_N8, EVERY)
    kept, count = selected(torch.from_numpy(measures_N8), EVERY, WHOLE, IMAGE, capacity=3)
    assert (kept.tolist(), count.tolist()) == (whole[:3], [len(whole)])


def test_no_masks_and_too_many() -> None:
    assert by_kernel(np.empty((0, 8)), MaskOptions()) == []
    with pytest.raises(ValueError, match="more than"):
        by_kernel(np.zeros((MOST_MASKS + 1, 8)), MaskOptions())
