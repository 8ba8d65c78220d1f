"""One label a pixel, for users who need masks that share no pixel."""

import numpy as np
import numpy.typing as npt

from sam_core.masks.decode import drawn_labels
from sam_core.masks.image_masks import ImageMasks


def label_map(masks: ImageMasks) -> npt.NDArray[np.int32]:
    """Which mask each pixel belongs to: its place in `masks` plus 1, or 0 for none; int32 [height, width].

    A pixel of several masks goes to the one of smallest area, so that a part is seen on its whole.
    Raises: ValueError for masks in another form.
    """
    if not isinstance(masks, ImageMasks):
        raise ValueError(
            f"label_map takes the ImageMasks of SamAutomaticMaskGenerator.generate_masks, got a "
            f"{type(masks).__name__}"
        )
    largest_first = np.argsort(-masks.area, kind="stable")
    return drawn_labels(masks.counts, largest_first, masks.height, masks.width)
