"""Counts from the edges of many masks at once, against those of one mask after the other."""

import numpy as np
import pytest
from rle_ways import by_library_and_by_numpy

from sam_core.masks import edge_counts
from sam_core.masks.edge_counts import counts_of_edges
from sam_core.masks.rle import compressed_counts, runs_of_mask

way = by_library_and_by_numpy(edge_counts)

# Differences of runs of 1 to 6 groups of five bits; for more pycocotools writes past its memory
HEIGHT, WIDTH = 23_000, 23_100
STEPS = (1, 2, 15, 16, 17, 511, 512, 513, 1 << 14, 1 << 19, (1 << 24) - 1, 1 << 24, 1 << 28)


@pytest.mark.parametrize("seed", range(5))
def test_masks_of_any_pixels(seed: int) -> None:
    random = np.random.default_rng(seed)
    masks_NHW = random.random((6, 9, 11)) < random.random((6, 1, 1))
    masks_NHW[0], masks_NHW[1], masks_NHW[2, 0, 0] = False, True, True
    runs = [runs_of_mask(mask_HW) for mask_HW in masks_NHW]
    edges = [np.cumsum(run)[:-1] for run in runs]
    assert counted(edges, 9, 11) == [compressed_counts(run) for run in runs]


@pytest.mark.parametrize("order", [1, -1])
def test_runs_of_any_length(order: int) -> None:
    edges = [np.cumsum(STEPS[::order]), np.zeros(0), np.cumsum(STEPS[::order])[:3]]
    runs = [np.diff(each, prepend=0, append=HEIGHT * WIDTH).astype(np.uint32) for each in edges]
    assert counted(edges, HEIGHT, WIDTH) == [compressed_counts(run) for run in runs]


def test_no_mask() -> None:
    assert counted([], 3, 4) == []


def counted(edges: list[np.ndarray], height: int, width: int) -> list[bytes]:
    line = np.concatenate([np.zeros(0), *edges]).astype(np.int32)
    return counts_of_edges(line, np.cumsum([len(each) for each in edges], dtype=np.int64), height, width)
