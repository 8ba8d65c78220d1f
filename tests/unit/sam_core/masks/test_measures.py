"""Areas and boxes of many masks at once, against those of one mask after the other."""

import numpy as np
import pytest

from sam_core.masks.decode import packed_counts
from sam_core.masks.measures import measured
from sam_core.masks.rle import (
    area_of_runs,
    box_of_runs,
    compressed_counts,
    compressed_counts_runs,
    runs_of_mask,
)


@pytest.mark.parametrize("seed", range(5))
def test_masks_of_images_of_several_sizes(seed: int) -> None:
    random = np.random.default_rng(seed)
    sizes = random.integers(1, 12, (200, 2))
    masks = [random.random(tuple(size)) < random.choice([0, 0.02, 0.2, 0.9, 1]) for size in sizes]
    runs = [runs_of_mask(mask_HW) for mask_HW in masks]
    measures = measured(*packed_counts([compressed_counts(one) for one in runs]), sizes)
    expected = [
        [area_of_runs(one), *box_of_runs(one, height)] for one, (height, _) in zip(runs, sizes, strict=True)
    ]
    assert measures is not None
    assert measures.tolist() == expected


@pytest.mark.parametrize("seed", range(5))
def test_any_counts_are_refused_as_numpy_refuses_them(seed: int) -> None:
    random = np.random.default_rng(seed)
    refused = 0
    for _ in range(2000):
        height, width = random.integers(1, 20, 2)
        counts = bytearray(compressed_counts(runs_of_mask(random.random((height, width)) < 0.3)))
        for _ in range(random.integers(0, 3)):
            counts[random.integers(len(counts))] = random.integers(40, 120)
        try:
            is_sound = int(compressed_counts_runs(bytes(counts)).sum(dtype=np.int64)) == height * width
        except ValueError:
            is_sound = False
        refused += not is_sound
        found = measured(*packed_counts([bytes(counts)]), np.array([[height, width]]))
        assert (found is not None) == is_sound
    assert 500 < refused < 1900


@pytest.mark.parametrize("size", [(0, 4), (4, -1), (1 << 16, 1 << 16), (1 << 40, 1 << 40)])
def test_an_image_that_no_mask_can_cover_is_refused(size: tuple[int, int]) -> None:
    counts = [compressed_counts(np.array([4], np.uint32))]
    assert measured(*packed_counts(counts), np.array([size])) is None


def test_no_mask() -> None:
    measures = measured(b"", np.zeros(1, np.int64), np.zeros((0, 2), np.int64))
    assert measures is not None
    assert measures.shape == (0, 5)
