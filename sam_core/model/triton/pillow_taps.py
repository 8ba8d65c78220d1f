"""Pillow's bilinear resize of uint8 images in integers: source places, their weights, which axis first.

Pillow weights with a triangle that is as wide as the step between two places, at least one pixel. It rounds
the weights of a place to 22 bits after the point, and the sums of either axis to 8 bits, so the order of the
two axes changes the result. Weights and order are correct for Pillow 13 (tests/unit/sam_core/model);
`resize.is_exact` checks the installed Pillow.
"""

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

FIXED_BITS = 22  # of a weight; a sum of 255 * 2^22 fits an int32
HALF = 1 << (FIXED_BITS - 1)  # makes the shift at the end round to nearest


@lru_cache(maxsize=512)
def taps(size: int, new_size: int) -> npt.NDArray[np.int32]:
    """How an axis of `size` places becomes one of `new_size`, int32 [1 + taps, new_size], read-only.

    The first row holds the first source place of each new place, each further row one weight in units of
    2^-22. A weight whose source place lies behind the last one is zero.
    """
    step = size / new_size
    reach = max(step, 1.0)
    count = 2 * math.ceil(reach) + 1
    centre = (np.arange(new_size) + 0.5) * step
    first = np.maximum((centre - reach + 0.5).astype(np.int64), 0)
    end = np.minimum((centre + reach + 0.5).astype(np.int64), size)
    place = first + np.arange(count)[:, None]
    distance = np.abs((place - centre + 0.5) * (1.0 / reach))
    weights = np.where((distance < 1.0) & (place < end), 1.0 - distance, 0.0)
    total = np.zeros(new_size)
    # One after the other, as Pillow adds: numpy's own sum adds by pairs and rounds differently.
    for weight in weights:
        total += weight
    fixed = (weights / total * (1 << FIXED_BITS) + 0.5).astype(np.int32)
    used = 1 + int(np.flatnonzero(fixed.any(axis=1))[-1])
    table = np.concatenate([first[None].astype(np.int32), fixed[:used]])
    table.setflags(write=False)
    return table


def rows_first(size: tuple[int, int], new_size: tuple[int, int]) -> bool:
    """Whether the height is resized before the width; sizes are (height, width).

    Inferred from the results of Pillow 13.0.0, without an exception in 5862 sizes.
    """
    fewer_rows, fewer_columns = size[0] - new_size[0], size[1] - new_size[1]
    return fewer_rows > 0 and fewer_rows > 2 * fewer_columns


def taps_resize(image_HW3: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """The resized image in plain integer arithmetic: equal to the kernels' and Pillow's result."""
    if rows_first(image_HW3.shape[:2], (height, width)):
        return _columns(_rows(image_HW3, height), width)
    return _rows(_columns(image_HW3, width), height)


def _columns(image_HW3: npt.NDArray[np.uint8], width: int) -> npt.NDArray[np.uint8]:
    return _rows(image_HW3.swapaxes(0, 1), width).swapaxes(0, 1)


def _rows(image_HW3: npt.NDArray[np.uint8], height: int) -> npt.NDArray[np.uint8]:
    old_height = image_HW3.shape[0]
    if height == old_height:
        return image_HW3
    first, *weights = taps(old_height, height)
    total = np.full((height, *image_HW3.shape[1:]), HALF, np.int32)
    for tap, weight in enumerate(weights):
        place = np.minimum(first + tap, old_height - 1)
        total += image_HW3[place].astype(np.int32) * weight[:, None, None]
    out_HW3: npt.NDArray[np.uint8] = np.clip(total >> FIXED_BITS, 0, 255).astype(np.uint8)
    return out_HW3
