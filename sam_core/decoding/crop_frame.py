"""The frames of a crop (its own pixels, the model's input, low-resolution logits) and how they convert.

Logits become pixels of the crop by a few taps a side: taps.py.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sam_core.cached import cached_property
from sam_core.decoding.taps import Taps, resize_taps
from sam_core.model.resize import fitted_size


@dataclass(frozen=True)
class CropFrame:
    """Sizes of one crop in pixels, and of the squares that the model sees and answers with."""

    height: int
    width: int
    image_size: int = 1024  # side of the model's square input
    low_res_size: int = 256  # side of the logits: four cells a patch

    @property
    def input_size(self) -> tuple[int, int]:
        """Rows and columns of the model's input that show the crop; the rest is padding."""
        return fitted_size(self.height, self.width, self.image_size)

    @cached_property
    def row_taps(self) -> Taps:
        """The logits that make each row of pixels."""
        return resize_taps(self.height, self.input_size[0], self.image_size, self.low_res_size)

    @cached_property
    def column_taps(self) -> Taps:
        """The logits that make each column of pixels."""
        return resize_taps(self.width, self.input_size[1], self.image_size, self.low_res_size)

    @property
    def shown(self) -> tuple[int, int]:
        """Rows and columns of logits that show the crop; the rest lie over padding."""
        return self.row_taps.logits, self.column_taps.logits

    def input_points(self, points_N2: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The points, x and y in pixels of the crop, in pixels of the model's input."""
        input_height, input_width = self.input_size
        scale = (input_width / self.width, input_height / self.height)
        return np.asarray(points_N2, dtype=np.float64) * scale
