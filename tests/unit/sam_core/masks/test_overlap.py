"""The overlap of masks computed from run lengths equals that of their pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sam_core.masks.overlap import NESTED, Overlap, overlap
from sam_core.masks.rle import compressed_counts, runs_of_mask

several_masks = arrays.arrays(bool, st.tuples(st.integers(0, 6), st.integers(1, 9), st.integers(1, 9)))


def overlap_of(masks_NHW: np.ndarray) -> Overlap:
    _, height, width = masks_NHW.shape
    counts = [compressed_counts(runs_of_mask(mask_HW)) for mask_HW in masks_NHW]
    return overlap(counts, masks_NHW.sum(axis=(1, 2)), height, width)


@settings(max_examples=60)
@given(several_masks)
def test_it_is_that_of_the_pixels(masks_NHW: np.ndarray) -> None:
    depth_HW = masks_NHW.sum(axis=0)
    flat = [mask_HW.ravel() for mask_HW in masks_NHW]
    nested = 0
    for place, mask in enumerate(flat):
        others = [
            other
            for at, other in enumerate(flat)
            if other.sum() > mask.sum() or (other.sum() == mask.sum() and at < place)
        ]
        nested += any(mask.any() and (mask & other).sum() >= NESTED * mask.sum() for other in others)
    assert overlap_of(masks_NHW) == Overlap((depth_HW >= 1).sum(), (depth_HW >= 2).sum(), nested)


def test_masks_by_the_hundred_are_compared_in_parts() -> None:
    masks_NHW = np.zeros((530, 24, 24), bool)
    for place, mask_HW in enumerate(masks_NHW):
        mask_HW[1 + place // 24, place % 24] = True
    masks_NHW[-1] = True  # all others lie in it
    assert overlap_of(masks_NHW).nested == 529


@pytest.mark.parametrize("counts", [b"", b"3", b"o"])
def test_counts_of_another_size_are_refused(counts: bytes) -> None:
    with pytest.raises(ValueError, match=r"the counts .* of mask 0 are not a mask of 2 x 3 pixels"):
        overlap([counts], np.array([1]), 2, 3)
