"""One label per pixel, for users who need masks that do not overlap."""

import numpy as np
import numpy.typing as npt

from sam_core.masks.decode import drawn_labels
from sam_core.masks.image_masks import ImageMasks


def label_map(masks: ImageMasks) -> npt.NDArray[np.int32]:
    """Which mask each pixel belongs to: its place in `masks` plus 1, or 0 for none; int32 [height, width].

    A pixel of several masks goes to the smallest one, so that a part shows on top of its whole.
    Raises: ValueError if `masks` are not ImageMasks.
    """
    if not isinstance(masks, ImageMasks):
        raise ValueError(
            f"label_map needs the ImageMasks of SamAutomaticMaskGenerator.generate_masks, got a "
            f"{type(masks).__name__}"
        )
    largest_first = np.argsort(-masks.area, kind="stable")
    return drawn_labels(masks.counts, largest_first, masks.height, masks.width)
