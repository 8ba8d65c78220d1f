"""Run lengths: against pycocotools and against masks drawn out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco_mask

from sam_core.masks.rle import (
    area_of_runs,
    box_of_runs,
    compressed_counts,
    compressed_counts_runs,
    mask_of_runs,
    placed_runs,
    runs_of_mask,
)

masks = arrays.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


@given(masks)
def test_runs_are_those_of_pycocotools(mask: np.ndarray) -> None:
    runs = runs_of_mask(mask)
    assert runs.dtype == np.uint32
    assert compressed_counts(runs) == coco_mask.encode(np.asfortranarray(mask, np.uint8))["counts"]
    np.testing.assert_array_equal(mask_of_runs(runs, *mask.shape), mask)


@given(masks)
def test_counts_are_read_back(mask: np.ndarray) -> None:
    runs = runs_of_mask(mask)
    np.testing.assert_array_equal(compressed_counts_runs(compressed_counts(runs)), runs)


@given(st.lists(st.integers(0, 2**32 - 1), max_size=20))
def test_runs_of_any_length_are_read_back(runs: list[int]) -> None:
    """For most of these pycocotools writes past its memory."""
    counts = compressed_counts(np.array(runs, np.uint32))
    assert compressed_counts_runs(counts).tolist() == runs


@given(st.lists(st.integers(0, 2**20), min_size=1, max_size=20))
def test_counts_are_those_of_pycocotools(runs: list[int]) -> None:
    encoded = coco_mask.frPyObjects({"size": [sum(runs), 1], "counts": runs}, sum(runs), 1)
    assert compressed_counts(np.array(runs, np.uint32)) == encoded["counts"]


@given(st.binary(max_size=40).map(lambda drawn: bytes(48 + byte % 64 for byte in drawn)))
def test_any_counts_are_read_as_the_format_says(counts: bytes) -> None:
    try:
        expected = np.array(plain_runs(counts), np.uint32)
    except (ValueError, OverflowError):
        with pytest.raises(ValueError, match=r"cut off|run length"):
            compressed_counts_runs(counts)
    else:
        np.testing.assert_array_equal(compressed_counts_runs(counts), expected)


def plain_runs(counts: bytes) -> list[int]:
    """The run lengths, character by character."""
    values: list[int] = []
    value = shift = 0
    for byte in counts:
        group = byte - 48
        value |= (group & 0x1F) << shift
        shift += 5
        if group & 0x20:
            continue
        if group & 0x10:
            value -= 1 << shift
        values.append(value + values[-2] if len(values) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("cut off")
    return values


@given(masks)
def test_area_and_box_are_those_of_the_pixels(mask: np.ndarray) -> None:
    runs = runs_of_mask(mask)
    y, x = np.nonzero(mask)
    expected = (x.min(), y.min(), x.max(), y.max()) if len(x) else (0, 0, 0, 0)
    assert box_of_runs(runs, mask.shape[0]) == expected
    assert area_of_runs(runs) == mask.sum()


@given(masks, st.tuples(*[st.integers(0, 3)] * 4))
def test_a_crop_is_placed_as_its_pixels_are(mask: np.ndarray, margins: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = margins
    image = np.pad(mask, ((top, bottom), (left, right)))
    crop_xyxy = (left, top, left + mask.shape[1], top + mask.shape[0])
    np.testing.assert_array_equal(
        placed_runs(runs_of_mask(mask), crop_xyxy, *image.shape), runs_of_mask(image)
    )


def test_runs_of_three_gigapixels_do_not_overflow() -> None:
    height, width = 60_000, 50_000
    runs = np.array([10, 2_999_999_980, 10], dtype=np.uint32)
    assert area_of_runs(runs) == 2_999_999_980
    assert box_of_runs(runs, height) == (0, 0, width - 1, height - 1)
    np.testing.assert_array_equal(compressed_counts_runs(compressed_counts(runs)), runs)


def test_runs_that_do_not_cover_the_image_are_refused() -> None:
    with pytest.raises(ValueError, match="cover 5 pixels, but the image has 6"):
        mask_of_runs(np.array([2, 3], dtype=np.uint32), 2, 3)


@pytest.mark.parametrize("counts", [b"\x7f", b"0 ", b"o"])
def test_damaged_counts_are_refused(counts: bytes) -> None:
    with pytest.raises(ValueError, match="cut off"):
        compressed_counts_runs(counts)
