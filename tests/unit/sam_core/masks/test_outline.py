"""An outline, filled together with its line, is the mask's largest part without its holes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageDraw
from scipy import ndimage

from sam_core.masks.outline import outline

MASKS = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(lambda size: arrays(bool, size))


def drawn(points_N2: np.ndarray, height: int, width: int) -> np.ndarray:
    """The polygon's pixels: its line and its inside."""
    image = Image.new("1", (width, height))
    points = [tuple(point) for point in points_N2.tolist()]
    draw = ImageDraw.Draw(image)
    if len(points) > 2:
        draw.polygon(points, fill=1, outline=1)
    draw.line(points, fill=1)
    draw.point(points, fill=1)
    return np.array(image)


def largest_part(mask_HW: np.ndarray) -> np.ndarray:
    """The largest of the parts, whose pixels touch at an edge or a corner; the first of several."""
    labels_HW, count = ndimage.label(mask_HW, structure=np.ones((3, 3)))
    sizes = [int((labels_HW == label).sum()) for label in range(1, count + 1)]
    return labels_HW == 1 + sizes.index(max(sizes))


@given(MASKS.filter(np.any))
def test_the_largest_part_is_drawn_and_the_rest_counted(mask_HW: np.ndarray) -> None:
    found = outline(mask_HW)
    filled_HW = ndimage.binary_fill_holes(largest_part(mask_HW))
    assert (drawn(found.points_N2, *mask_HW.shape) == filled_HW).all()
    assert found.lost_pixels == int((mask_HW & ~filled_HW).sum())
    assert found.filled_pixels == int((filled_HW & ~mask_HW).sum())


@given(MASKS.filter(np.any))
def test_no_point_stands_on_a_straight_line(mask_HW: np.ndarray) -> None:
    points = outline(mask_HW).points_N2
    steps = np.roll(points, -1, axis=0) - points
    directions = (
        np.sign(steps) * (abs(steps[:, 0]) == abs(steps[:, 1]))[:, None]
        + np.sign(steps) * (steps == 0).any(axis=1)[:, None]
    )
    assert len(points) == 1 or (directions != np.roll(directions, 1, axis=0)).any(axis=1).all()


@pytest.mark.parametrize(
    ("rows", "points"),
    [
        (["#"], [[0, 0]]),
        (["###"], [[0, 0], [2, 0]]),
        (["###", "###"], [[0, 0], [2, 0], [2, 1], [0, 1]]),
        (["#.", ".#"], [[0, 0], [1, 1]]),
        ([".#.", "#.#", ".#."], [[1, 0], [2, 1], [1, 2], [0, 1]]),
    ],
)
def test_small_shapes(rows: list[str], points: list[list[int]]) -> None:
    mask_HW = np.array([[pixel == "#" for pixel in row] for row in rows])
    assert outline(mask_HW).points_N2.tolist() == points
