"""Areas and boxes of many masks at once, straight from their compressed counts."""

import numpy as np
import numpy.typing as npt

from sam_core.masks.crops import is_image_size
from sam_core.masks.rle_library import library


def measured(
    counts: bytes, offsets_N1: npt.NDArray[np.int64], sizes_N2: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64] | None:
    """The area of each mask, and the first and last column and row in which it has pixels.

    int64 [N, 5]: area, x0, y0, x1, y1, as `area_of_runs` and `box_of_runs` return them. offsets: where
    each mask's counts begin in `counts`, and where the last ones end; sizes: heights and widths of images.
    None if the counts of a mask do not describe its image's pixels, or the C library was not built.
    """
    kernel = library()
    if kernel is None or not np.all(is_image_size(sizes_N2[:, 0], sizes_N2[:, 1])):
        return None
    measures_N5 = np.empty((len(sizes_N2), 5), np.int64)
    offsets_N1, sizes_N2 = (np.ascontiguousarray(one, np.int64) for one in (offsets_N1, sizes_N2))
    unsound = kernel.rle_measures(
        counts, offsets_N1.ctypes.data, len(sizes_N2), sizes_N2.ctypes.data, measures_N5.ctypes.data
    )
    return measures_N5 if unsound < 0 else None
