"""Masks as pycocotools takes them, with their counts checked.

pycocotools checks nothing: it reads beyond its memory where counts are cut off, and never ends where two
masks cover different numbers of pixels. A dataset may come from a stranger.
"""

from collections.abc import Sequence
from typing import Any

from sam_core.masks.decode import refuse_unsound_counts


def coco_masks(counts: Sequence[bytes], height: int, width: int) -> list[dict[str, Any]]:
    """Masks given as COCO's compressed counts.

    Raises: ValueError if some do not describe a mask of the size.
    """
    refuse_unsound_counts(counts, height, width)
    return [{"size": [height, width], "counts": one} for one in counts]
