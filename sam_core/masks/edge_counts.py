"""COCO's compressed counts of many masks at once, from the places where their pixels change.

A GPU gives a hundred masks per image and dozens of images a second. Making their counts one by one would take
a third of the host's time for an image, while every other thread waits.
"""

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from sam_core.masks.rle import compressed_counts
from sam_core.masks.rle_library import library

BYTES_A_RUN = 8  # at most: seven groups of five bits hold any difference of two runs


def counts_of_edges(
    edges_E: npt.NDArray[np.int32], ends_K: npt.NDArray[np.int64], height: int, width: int
) -> list[bytes]:
    """The counts of K masks of height x width pixels.

    edges: where a pixel differs from the one before it, on the column-major line; the first pixel differs if
    it is inside. The edges are listed mask after mask; ends: where each mask's edges end.
    """
    kernel, pixels, masks = library(), height * width, len(ends_K)
    if kernel is None:
        return [
            compressed_counts(np.diff(edges, prepend=0, append=pixels).astype(np.uint32))
            for edges in np.split(edges_E, ends_K[:-1])[:masks]
        ]
    edges_E, ends_K = np.ascontiguousarray(edges_E, np.int32), np.ascontiguousarray(ends_K, np.int64)
    text = np.empty(BYTES_A_RUN * (len(edges_E) + masks), np.uint8)
    offsets = np.empty(masks + 1, np.int64)
    kernel.rle_counts(
        edges_E.ctypes.data, ends_K.ctypes.data, masks, pixels, text.ctypes.data, offsets.ctypes.data
    )
    line, bounds = text[: offsets[-1]].tobytes(), offsets.tolist()
    return [line[start:stop] for start, stop in pairwise(bounds)]
