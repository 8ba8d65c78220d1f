"""What decoding passes to selection: the masks of one crop that pass the two score thresholds.

A CropDecoder turns the points of one crop into Candidates; the next steps (crop edge, NMS, encoding) are the
same for all decoders. NMS drops most candidates, so run lengths are made on request, and for all remaining
masks together: one request to the device.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Candidates:
    """Masks over `pred_iou_thresh` and `stability_score_thresh`, ordered by point, then by mask token.

    The crop-edge filter and NMS come later. Boxes, areas and runs are in pixels of the crop. N may be 0.
    """

    predicted_iou_N: npt.NDArray[np.float32]
    stability_score_N: npt.NDArray[np.float32]
    area_N: npt.NDArray[np.int64]
    box_xyxy_N4: npt.NDArray[np.int64]  # first and last pixel, both inside; zeros for an empty mask
    point_index_N: npt.NDArray[np.int64]  # of the point that prompted it
    # runs(order): the column-major run lengths of each of these masks; the first counts zeros and may be 0
    runs: Callable[[npt.NDArray[np.int64]], Iterable[npt.NDArray[np.uint32]]]

    def __len__(self) -> int:
        return len(self.area_N)
