"""From run lengths to pixels, by the C library and by numpy, against pycocotools and the definitions."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco
from rle_ways import by_library_and_by_numpy

from sam_core.masks import decode
from sam_core.masks.decode import decoded_masks, drawn_labels, reduced_masks, refuse_unsound_counts
from sam_core.masks.nms import mask_iou

_each_way = by_library_and_by_numpy(decode)


def random_masks(seed: int, count: int, height: int, width: int) -> np.ndarray:
    """Masks of every density, with blobs and dots, including an empty and a full one."""
    rng = np.random.default_rng(seed)
    masks_NHW = rng.random((count, height, width)) < rng.random((count, 1, 1))
    for mask_HW in masks_NHW[::2]:
        y, x = rng.integers(0, height), rng.integers(0, width)
        mask_HW[:] = False
        mask_HW[y : y + rng.integers(1, height + 1), x : x + rng.integers(1, width + 1)] = True
    masks_NHW[: min(count, 1)] = False
    masks_NHW[1 : min(count, 2)] = True
    return masks_NHW


def encoded(masks_NHW: np.ndarray) -> list[bytes]:
    return [coco.encode(np.asfortranarray(mask_HW.astype(np.uint8)))["counts"] for mask_HW in masks_NHW]


SIZES = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 6), st.integers(1, 90), st.integers(1, 150))


@given(SIZES, st.data())
def test_masks_are_what_was_encoded_whole_and_in_a_window(
    size: tuple[int, int, int, int], data: st.DataObject
) -> None:
    seed, count, height, width = size
    masks_NHW = random_masks(seed, count, height, width)
    counts = encoded(masks_NHW)
    assert np.array_equal(decoded_masks(counts, height, width), masks_NHW)
    x0, y0 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x1, y1 = data.draw(st.integers(x0 + 1, width)), data.draw(st.integers(y0 + 1, height))
    window = decoded_masks(counts, height, width, (x0, y0, x1, y1))
    assert np.array_equal(window, masks_NHW[:, y0:y1, x0:x1])


@given(SIZES, st.data())
def test_a_reduced_mask_holds_the_cells_that_are_at_least_half_inside(
    size: tuple[int, int, int, int], data: st.DataObject
) -> None:
    seed, count, height, width = size
    masks_NHW = random_masks(seed, count, height, width)
    rows, columns = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
    small_NHW = reduced_masks(encoded(masks_NHW), height, width, (rows, columns))
    edges_y, edges_x = np.arange(rows + 1) * height // rows, np.arange(columns + 1) * width // columns
    expected = [
        [
            [mask_HW[y0:y1, x0:x1].mean() >= 0.5 for x0, x1 in pairwise(edges_x)]
            for y0, y1 in pairwise(edges_y)
        ]
        for mask_HW in masks_NHW
    ]
    assert small_NHW.tolist() == expected


@given(SIZES, st.data())
def test_labels_are_of_the_mask_drawn_last(size: tuple[int, int, int, int], data: st.DataObject) -> None:
    seed, count, height, width = size
    masks_NHW = random_masks(seed, count, height, width)
    order = np.array(data.draw(st.permutations(range(count))), np.int64)
    expected_HW = np.zeros((height, width), np.int32)
    for index in order.tolist():
        expected_HW[masks_NHW[index]] = index + 1
    assert np.array_equal(drawn_labels(encoded(masks_NHW), order, height, width), expected_HW)


@pytest.mark.parametrize("order", [[0, 2], [-1, 0]])
def test_an_order_of_other_masks_is_refused(order: list[int]) -> None:
    with pytest.raises(ValueError, match="the order names a mask that does not exist; there are 2 masks"):
        drawn_labels(encoded(np.ones((2, 4, 5), np.bool_)), np.array(order), 4, 5)


def test_masks_go_into_an_array_that_is_there_also_into_a_part_of_it() -> None:
    masks_NHW = random_masks(1, 5, 70, 130)
    large = np.full((5, 80, 200), 7, np.uint8)
    part = large[:, 3:73, 11:141]
    assert decoded_masks(encoded(masks_NHW), 70, 130, out_NHW=part) is part
    assert np.array_equal(part, masks_NHW)
    assert (large.sum(dtype=int) - part.sum(dtype=int)) == 7 * (large.size - part.size)
    small = np.ones((5, 7, 13), np.bool_)
    reduced_masks(encoded(masks_NHW), 70, 130, (7, 13), small)
    assert np.array_equal(small, reduced_masks(encoded(masks_NHW), 70, 130, (7, 13)))


@pytest.mark.parametrize(
    "out",
    [
        np.zeros((2, 4, 5), np.float32),
        np.zeros((1, 4, 5), np.bool_),
        np.zeros((2, 4, 10), np.bool_)[..., ::2],
        np.broadcast_to(np.zeros((), np.bool_), (2, 4, 5)),
        np.frombuffer(bytes(40), np.uint8).reshape(2, 4, 5),
        [],
        5,
    ],
)
def test_an_array_that_does_not_fit_is_refused(out: Any) -> None:
    with pytest.raises(ValueError, match="it must be bool or uint8 of shape"):
        decoded_masks(encoded(np.ones((2, 4, 5), np.bool_)), 4, 5, out_NHW=out)


@given(st.binary(max_size=30).filter(lambda counts: counts != b"d0"))
def test_counts_that_are_no_mask_of_this_size_are_refused_by_name(counts: bytes) -> None:
    sound = encoded(np.ones((1, 4, 5), np.bool_))[0]
    try:
        runs = decode.compressed_counts_runs(counts)
        is_sound = int(runs.sum(dtype=np.int64)) == 20
    except ValueError:
        is_sound = False
    if not is_sound:
        for decoded in (
            lambda: decoded_masks([sound, counts], 4, 5),
            lambda: reduced_masks([sound, counts], 4, 5, (2, 2)),
            lambda: drawn_labels([sound, counts], np.arange(2), 4, 5),
            lambda: refuse_unsound_counts([sound, counts], 4, 5),
            lambda: mask_iou([sound, counts], 4, 5),
        ):
            with pytest.raises(ValueError, match=r"the counts .* of mask 1 are not a mask of 4 x 5 pixels"):
                decoded()


def test_a_cell_of_more_pixels_than_can_be_counted_is_refused() -> None:
    with pytest.raises(ValueError, match="a cell of 1 x 1 would have 2"):
        reduced_masks([], 2**16, 2**16, (1, 1))
    assert reduced_masks([], 2**16, 2**16, (2, 1)).shape == (0, 2, 1)


@pytest.mark.parametrize("window", [(0, 0, 6, 4), (-1, 0, 5, 4), (2, 0, 2, 4), (0, 3, 5, 2)])
def test_a_window_that_leaves_the_image_is_refused(window: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="does not lie in the image of 5 x 4 pixels"):
        decoded_masks([], 4, 5, window)


NO_WINDOWS = [(), (0, 0, 5), (0, 0, 5, 4, 1), (-0.9, 0, 5, 4), (0, 0, 4.5, 4), (0, 0, float("nan"), 4),
              "0054", (None, 0, 5, 4), 5]  # fmt: skip


@pytest.mark.parametrize("window", NO_WINDOWS, ids=repr)
def test_a_window_of_other_than_four_whole_numbers_is_refused(window: Any) -> None:
    with pytest.raises(ValueError, match=r"the window is .*; give 4 whole numbers"):
        decoded_masks([], 4, 5, window)


def test_a_window_may_be_of_floats_without_a_fraction() -> None:
    masks_NHW = random_masks(1, 3, 4, 5)
    window = decoded_masks(encoded(masks_NHW), 4, 5, np.array([1.0, 0, 4, 3]))  # type: ignore[arg-type]
    assert np.array_equal(window, masks_NHW[:, 0:3, 1:4])


@pytest.mark.parametrize("size", [64, True, (2,), (), (2, 2, 2), (2.5, 2), "ab", (None, 2)], ids=repr)
def test_a_grid_of_other_than_two_whole_numbers_is_refused(size: Any) -> None:
    with pytest.raises(ValueError, match=r"the size is .*; give 2 whole numbers"):
        reduced_masks([], 4, 5, size)


@given(SIZES, st.integers(1, 200), st.integers(1, 300))
def test_along_a_finer_side_a_cell_shows_the_pixel_that_its_centre_lies_in(
    size: tuple[int, int, int, int], rows: int, columns: int
) -> None:
    seed, count, height, width = size
    rows, columns = max(rows, height), max(columns, width)
    masks_NHW = random_masks(seed, count, height, width)
    y, x = (
        np.floor((np.arange(cells) + 0.5) / cells * pixels + 1e-9).astype(int)
        for cells, pixels in ((rows, height), (columns, width))
    )
    assert np.array_equal(
        reduced_masks(encoded(masks_NHW), height, width, (rows, columns)), masks_NHW[:, y][:, :, x]
    )


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8])
def test_one_side_may_be_finer_and_the_other_coarser(dtype: Any) -> None:
    masks_NHW = random_masks(3, 6, 70, 4)
    counts = encoded(masks_NHW)
    fine = reduced_masks(counts, 70, 4, (7, 10))
    assert np.array_equal(fine, reduced_masks(counts, 70, 4, (7, 4))[:, :, [0, 0, 1, 1, 1, 2, 2, 3, 3, 3]])
    part = np.full((6, 9, 20), 7, dtype)[:, 1:8, 3:13]
    assert reduced_masks(counts, 70, 4, (7, 10), part) is part
    assert np.array_equal(part, fine)
    with pytest.raises(ValueError, match=r"it must be bool or uint8 of shape \(6, 7, 10\)"):
        reduced_masks(counts, 70, 4, (7, 10), part[:, :, 1:])


@pytest.mark.parametrize("size", [(0, 1), (5, 0), (-1, 6), (10**30, 1), (1, 1 << 31)])
def test_a_grid_that_is_none_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"the size is .* each side must have 1 to 2,147,483,647 cells"):
        reduced_masks([], 4, 5, size)
