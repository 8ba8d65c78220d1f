"""The frames of a crop (its own pixels, the model's input, low-resolution logits) and how they convert.

SA resizes 256x256 logits to the 1024x1024 input, cuts the padding and resizes to the crop. Both steps are
linear and separable, so that one small matrix a side does both: crop_HW = rows_HL @ logits_LM @ columns_WM.T.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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

    def rows_HL(self) -> npt.NDArray[np.float32]:
        """Weight of each row of logits that shows the crop in each row of pixels; float32 [height, L]."""
        return _resize_matrix(self.height, self.input_size[0], self.image_size, self.low_res_size)

    def columns_WM(self) -> npt.NDArray[np.float32]:
        """As rows_HL for columns; float32 [width, M]."""
        return _resize_matrix(self.width, self.input_size[1], self.image_size, self.low_res_size)

    def input_points(self, points_N2: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The points, x and y in pixels of the crop, in pixels of the model's input."""
        input_height, input_width = self.input_size
        scale = (input_width / self.width, input_height / self.height)
        return np.asarray(points_N2, dtype=np.float64) * scale


def _resize_matrix(
    pixels: int, input_pixels: int, image_size: int, low_res_size: int
) -> npt.NDArray[np.float32]:
    to_input = bilinear_matrix(image_size, low_res_size)[:input_pixels]
    composite = bilinear_matrix(pixels, input_pixels) @ to_input
    # logits that lie over padding alone have no weight
    used = int(np.flatnonzero(composite.any(axis=0))[-1]) + 1
    return composite[:, :used].astype(np.float32)


def bilinear_matrix(out_size: int, in_size: int) -> npt.NDArray[np.float64]:
    """Weights of bilinear resizing along one side, edges repeated; float64 [out_size, in_size].

    Source: torch.nn.functional.interpolate, mode bilinear, align_corners False.
    """
    position = np.clip((np.arange(out_size) + 0.5) * (in_size / out_size) - 0.5, 0, in_size - 1)
    low = np.floor(position).astype(np.int64)
    high = np.minimum(low + 1, in_size - 1)
    weight = position - low
    matrix = np.zeros((out_size, in_size))
    rows = np.arange(out_size)
    np.add.at(matrix, (rows, low), 1 - weight)
    np.add.at(matrix, (rows, high), weight)
    return matrix
