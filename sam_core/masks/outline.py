"""A mask as one polygon, and counts of what the polygon cannot represent: its holes and its other parts.

The polygon runs through the centres of the outermost pixels, as the formats' own tools draw it: filled
together with its line, it covers every pixel of the largest part (infra/adr/0016).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

_EIGHT = np.ones((3, 3), dtype=np.int8)  # pixels that touch at a corner belong together


@dataclass(frozen=True)
class Outline:
    """The outline of a mask's largest part, and the pixels by which it differs from the mask."""

    points_N2: npt.NDArray[np.int64]  # x, y of pixels; their centres are half a pixel further
    lost_pixels: int  # pixels of the mask's other parts
    filled_pixels: int  # pixels of its holes


def outline(mask_HW: npt.NDArray[np.bool_]) -> Outline:
    """The outline of a mask that has at least one pixel."""
    labels_HW, parts = ndimage.label(mask_HW, structure=_EIGHT)
    part_HW = mask_HW
    if parts > 1:
        sizes = np.bincount(labels_HW.ravel())
        part_HW = labels_HW == 1 + int(np.argmax(sizes[1:]))
    filled_HW = ndimage.binary_fill_holes(part_HW)
    covered = int(np.count_nonzero(filled_HW & mask_HW))  # with parts that lie in holes of the largest
    return Outline(
        points_N2=_without_straight_ones(_border_pixels(_corners(filled_HW))),
        lost_pixels=int(np.count_nonzero(mask_HW)) - covered,
        filled_pixels=int(np.count_nonzero(filled_HW)) - covered,
    )


def rings(mask_HW: npt.NDArray[np.bool_]) -> list[list[npt.NDArray[np.int64]]]:
    """The mask's parts, each as its outer ring and one for each hole: corners of pixels x, y, [N, 2].

    Rings run along the edges of pixels, so that they enclose exactly the mask's pixels. The first corner is
    not repeated at the end. Pixels that touch at a corner belong to one part, and its ring passes that corner
    twice.
    """
    parts = []
    labels_HW, _ = ndimage.label(mask_HW, structure=_EIGHT)
    for part, window in enumerate(ndimage.find_objects(labels_HW), 1):
        part_HW = labels_HW[window] == part
        filled_HW = ndimage.binary_fill_holes(part_HW)
        shift = np.array([window[1].start, window[0].start])
        holes_HW, _ = ndimage.label(filled_HW & ~part_HW)
        found = [_corners(filled_HW) + shift]
        for hole, around in enumerate(ndimage.find_objects(holes_HW), 1):
            corner = np.array([around[1].start, around[0].start])
            found.append(_corners(holes_HW[around] == hole, is_hole=True) + corner + shift)
        parts.append(found)
    return parts


def _corners(region_HW: npt.NDArray[np.bool_], is_hole: bool = False) -> npt.NDArray[np.int64]:
    """The corners x, y of the line around a region without holes, clockwise, from one to the next.

    A horizontal edge leads from the first to the second corner of a row of pixel corners, from the third to
    the fourth and so on; a vertical edge likewise down a column. The two kinds alternate.
    In a hole, pixels that touch only at a corner are separate: there the mask around it is joined.
    """
    padded = np.pad(region_HW, 1).astype(np.int8)
    north_west, north_east = padded[:-1, :-1], padded[:-1, 1:]
    south_west, south_east = padded[1:, :-1], padded[1:, 1:]
    count = north_west + north_east + south_west + south_east
    is_saddle = (count == 2) & (north_west == south_east)  # two pixels that touch at this corner alone
    y, x = np.nonzero((count % 2 == 1) | is_saddle)
    # The line passes a saddle twice, around each of the two outside pixels, so that the inside pixels stay
    # together: once by the edge to the west, once by the edge to the east.
    saddle = is_saddle[y, x]
    is_south_with_west = saddle & (north_west[y, x] == (0 if is_hole else 1))
    y, x = np.concatenate([y, y[saddle]]), np.concatenate([x, x[saddle]])
    is_east = np.concatenate([np.zeros(len(saddle), bool), np.ones(int(saddle.sum()), bool)])
    is_south = np.concatenate([is_south_with_west, ~is_south_with_west[saddle]])
    by_row, by_column = np.lexsort((is_east, x, y)), np.lexsort((is_south, y, x))
    along_row, along_column = _partners(by_row), _partners(by_column)
    # Starting at the topmost row's leftmost corner, the region lies on the right.
    place = start = int(by_row[0])
    places = []
    while True:
        places.append(place)
        place = along_row[place]
        places.append(place)
        place = along_column[place]
        if place == start:
            return np.stack([x[places], y[places]], axis=1)


def _partners(order: npt.NDArray[np.int64]) -> list[int]:
    partners = np.empty(len(order), dtype=np.int64)
    partners[order[0::2]], partners[order[1::2]] = order[1::2], order[0::2]
    listed: list[int] = partners.tolist()
    return listed


def _border_pixels(corners_N2: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The first and the last pixel beside each edge between corners, on its right; x, y."""
    following_N2 = np.roll(corners_N2, -1, axis=0)
    step_N2 = np.sign(following_N2 - corners_N2)
    # Of the four pixels around a corner, the one ahead and to the right; for a step east it lies south.
    right_N2 = np.stack([-step_N2[:, 1], step_N2[:, 0]], axis=1)
    first_N2 = corners_N2 + np.minimum(step_N2 + right_N2, 0)
    last_N2 = following_N2 + np.minimum(right_N2 - step_N2, 0)
    return np.stack([first_N2, last_N2], axis=1).reshape(-1, 2)


def _without_straight_ones(points_N2: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The points where a closed line turns; a single pixel is one point."""
    is_new_N = (points_N2 != np.roll(points_N2, -1, axis=0)).any(axis=1)
    if not is_new_N.any():
        return points_N2[:1]
    points_N2 = points_N2[is_new_N]
    before_N2 = points_N2 - np.roll(points_N2, 1, axis=0)
    after_N2 = np.roll(points_N2, -1, axis=0) - points_N2
    cross_N = before_N2[:, 0] * after_N2[:, 1] - before_N2[:, 1] * after_N2[:, 0]
    is_back_N = (before_N2 * after_N2).sum(axis=1) < 0
    turning_N2: npt.NDArray[np.int64] = points_N2[(cross_N != 0) | is_back_N]
    return turning_N2
