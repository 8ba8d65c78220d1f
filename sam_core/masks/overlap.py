"""How the masks of an image overlap, from their run lengths alone: no pixel is decoded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from sam_core.masks.coco_masks import coco_masks
from sam_core.masks.rle import compressed_counts_runs

NESTED = 0.95  # share of a mask's pixels in one larger mask: edges are not exact to the pixel
_AT_ONCE = 512  # masks compared with all others at a time; 40 MB for 10,000 others


@dataclass(frozen=True)
class Overlap:
    """The overlap of the masks of one image."""

    covered: int  # pixels under one mask or more
    covered_twice: int  # pixels under two masks or more
    nested: int  # masks of which NESTED or more lies in one larger mask


def overlap(counts: Sequence[bytes], area: npt.NDArray[np.int64], height: int, width: int) -> Overlap:
    """The overlap of masks that are given as COCO's compressed counts, with their areas in pixels.

    Raises: ValueError if counts do not describe a mask of the image's size.
    """
    if not counts:
        return Overlap(0, 0, 0)
    rles = coco_masks(counts, height, width)
    # where the runs end on the column-major line; ones begin at even positions and end at odd ones
    edges = [np.cumsum(compressed_counts_runs(one), dtype=np.int64) for one in counts]
    starts = np.concatenate([line[:-1:2] for line in edges])
    stops = np.concatenate([line[1::2] for line in edges])
    places, steps = np.concatenate([starts, stops]), np.repeat([1, -1], [len(starts), len(stops)])
    order = np.argsort(places, kind="stable")
    depth, lengths = np.cumsum(steps[order])[:-1], np.diff(places[order])
    nested = sum(int(part.sum()) for part in _are_nested(rles, area))
    return Overlap(int(lengths[depth >= 1].sum()), int(lengths[depth >= 2].sum()), nested)


def _are_nested(
    rles: Sequence[dict[str, Any]], area: npt.NDArray[np.int64]
) -> Iterator[npt.NDArray[np.bool_]]:
    """For each mask whether it lies in a larger one, or in an equally large one before it; in parts."""
    rank = np.empty(len(rles), np.int64)
    rank[np.argsort(-area, kind="stable")] = np.arange(len(rles))
    for start in range(0, len(rles), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        # with a "crowd" the IoU is the part of the first mask that lies in the second
        inside = np.asarray(coco_mask.iou(rles[some], rles, [1] * len(rles)))
        inside[rank[None, :] >= rank[some, None]] = 0
        yield np.any(inside >= NESTED, axis=1)
