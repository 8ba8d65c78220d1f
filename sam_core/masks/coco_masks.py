"""Masks in the form that pycocotools accepts, with their counts checked.

pycocotools checks nothing: it reads beyond its memory if counts are cut off, and never ends if two masks
cover different numbers of pixels. A dataset may come from an untrusted source.
"""

from collections.abc import Sequence
from typing import Any

from sam_core.masks.decode import refuse_unsound_counts


def coco_masks(counts: Sequence[bytes], height: int, width: int) -> list[dict[str, Any]]:
    """Masks given as COCO's compressed counts.

    Raises: ValueError if counts do not describe a mask of this size.
    """
    refuse_unsound_counts(counts, height, width)
    return [{"size": [height, width], "counts": one} for one in counts]
