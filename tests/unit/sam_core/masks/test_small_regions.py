"""Small holes and islands, against the definition on the whole image."""

from dataclasses import replace

import numpy as np
import pytest
from drawn_masks import image_masks
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from sam_core.masks.image_masks import ImageMasks
from sam_core.masks.small_regions import masks_without_small_regions, without_small_regions
from sam_core.options import MaskOptions


def slow_without_small_regions(mask: np.ndarray, min_area: int) -> np.ndarray:
    """Fills holes of the whole image, then drops islands, one region at a time."""
    filled = mask.copy()
    for region in regions(~mask):
        if region.sum() < min_area:
            filled |= region
    islands = regions(filled)
    large = [region for region in islands if region.sum() >= min_area]
    large = large or sorted(islands, key=lambda region: (-region.sum(), first_block(region)))[:1]
    return np.logical_or.reduce(large) if large else filled


def first_block(region: np.ndarray) -> tuple[int, int]:
    """The row and column of its first block of 2 x 2 pixels; OpenCV counts regions by it."""
    return min((int(y) // 2, int(x) // 2) for y, x in zip(*region.nonzero(), strict=True))


def regions(mask: np.ndarray) -> list[np.ndarray]:
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    return [labels == label for label in range(1, count + 1)]


@given(arrays.arrays(bool, (9, 14), elements=st.sampled_from([False, False, True])), st.integers(1, 7))
def test_against_the_definition(mask: np.ndarray, min_area: int) -> None:
    cleaned, is_changed = without_small_regions(mask, min_area)
    expected = slow_without_small_regions(mask, min_area)
    np.testing.assert_array_equal(cleaned, expected)
    if mask.any() and expected.sum() < min_area:
        assert is_changed  # all of it is small
    else:
        assert is_changed == (cleaned != mask).any()


def scored(masks: list[np.ndarray], predicted_iou: list[float]) -> ImageMasks:
    return replace(image_masks(masks, *masks[0].shape), predicted_iou=np.array(predicted_iou, np.float32))


@pytest.fixture
def square() -> np.ndarray:
    mask = np.zeros((40, 40), dtype=bool)
    mask[5:25, 5:25] = True
    return mask


def test_area_box_and_counts_follow_the_cleaned_pixels(square: np.ndarray) -> None:
    dirty = square.copy()
    dirty[10, 10], dirty[38, 38] = False, True
    cleaned = masks_without_small_regions(scored([dirty], [0.9]), MaskOptions(min_mask_region_area=5))
    np.testing.assert_array_equal(cleaned.mask(0), square)
    assert cleaned.area.tolist() == [400]
    assert cleaned.bbox_xywh.tolist() == [[5, 5, 19, 19]]


def test_a_mask_that_was_clean_wins_then_the_better_one(square: np.ndarray) -> None:
    """SA scores only clean or changed: of two changed masks the first wins, whatever the predicted IoU."""
    worse, better = square.copy(), square.copy()
    worse[10, 10], better[12, 12] = False, False
    masks = scored([worse, better], [0.90, 0.95])
    for reference, winner in ((False, 0.95), (True, 0.90)):
        options = MaskOptions(min_mask_region_area=5, reference=reference)
        assert masks_without_small_regions(masks, options).predicted_iou.tolist() == [np.float32(winner)]
    clean_but_worse = scored([square, better], [0.89, 0.95])
    kept = masks_without_small_regions(clean_but_worse, MaskOptions(min_mask_region_area=5))
    assert kept.predicted_iou.tolist() == [np.float32(0.89)]


def test_small_masks_are_dropped_and_kept_in_reference_mode(square: np.ndarray) -> None:
    speck = np.zeros_like(square)
    speck[30, 30:32] = True
    masks = scored([square, speck], [0.9, 0.95])
    assert len(masks_without_small_regions(masks, MaskOptions(min_mask_region_area=5))) == 1
    assert len(masks_without_small_regions(masks, MaskOptions(min_mask_region_area=5, reference=True))) == 2


def test_no_masks_stay_no_masks(square: np.ndarray) -> None:
    none = scored([square], [0.9]).select(np.empty(0, dtype=np.int64))
    assert len(masks_without_small_regions(none, MaskOptions(min_mask_region_area=5))) == 0
