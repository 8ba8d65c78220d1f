"""Converts between an image's own frame and the model's, whose longest side is 1024 pixels.

SAM's results depend on Pillow's bilinear filter on uint8: other resizers differ by grey levels.
Sizes are (height, width), coordinates (x, y). The class has SA's name and methods, because scripts that call
`SamPredictor.predict_torch` use them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from sam_core.arguments import (
    checked_coords,
    checked_numbers,
    checked_size,
    in_words,
    refuse_no_boxes,
    whole_sides,
)
from sam_core.model.rgb_image import checked_image


def fitted_size(height: int, width: int, long_side: int) -> tuple[int, int]:
    """Size of the image scaled so that its longer side is `long_side`; halves round up.

    Each side is at least 1: the original rounds the short side of a 1 x 3000 image to 0.
    Source: segment-anything dca509f, utils/transforms.py.
    """
    scale = long_side / max(height, width)
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


@dataclass(frozen=True)
class ResizeLongestSide:
    """Images and coordinates in the frame whose longest side is `target_length`."""

    target_length: int

    def __post_init__(self) -> None:
        if not whole_sides([self.target_length]):
            raise ValueError(
                f"target_length must be a whole number of at least 1, got {in_words(self.target_length)}; "
                "SAM's is 1024"
            )

    def apply_image(self, image_HW3: np.ndarray) -> np.ndarray:
        """The resized image, uint8 [h, w, 3]; a grey [h, w] or a 2- or 4-channel image keeps its channels.

        Raises: ValueError for anything else.
        """
        if not _is_grey_or_with_alpha(image_HW3):
            checked_image(image_HW3)
        old_height, old_width = image_HW3.shape[:2]
        height, width = fitted_size(old_height, old_width, self.target_length)
        # Pillow cannot read a view with negative strides (BGR turned to RGB).
        image = Image.fromarray(np.ascontiguousarray(image_HW3))
        return np.array(image.resize((width, height), Image.Resampling.BILINEAR))

    def apply_coords(self, coords: np.ndarray, original_size: Sequence[int]) -> np.ndarray:
        """Coordinates [..., 2] in the resized frame, float64. Raises: ValueError for another shape."""
        scale = self._scale_xy(original_size)
        return checked_coords(coords).astype(np.float64) * scale

    def apply_boxes(self, boxes_xyxy: np.ndarray, original_size: Sequence[int]) -> np.ndarray:
        """Boxes [B, 4] in the resized frame, float64. Raises: ValueError for another shape."""
        boxes_xyxy = checked_numbers(boxes_xyxy, "boxes must be numbers [B, 4], XYXY")
        refuse_no_boxes(boxes_xyxy.shape)
        return self.apply_coords(boxes_xyxy.reshape(-1, 2, 2), original_size).reshape(-1, 4)

    def apply_image_torch(self, image_BCHW: torch.Tensor) -> torch.Tensor:
        """Images [B, C, H, W] resized by torch's antialiased bilinear filter, close to `apply_image`.

        The original uses B and C as the size, so that all images get the same shape.
        Raises: ValueError for anything but such a tensor.
        """
        if not isinstance(image_BCHW, torch.Tensor) or image_BCHW.ndim != 4 or 0 in image_BCHW.shape:
            raise ValueError(f"images must be a tensor [B, C, H, W] with pixels, got {in_words(image_BCHW)}")
        height, width = fitted_size(image_BCHW.shape[2], image_BCHW.shape[3], self.target_length)
        return F.interpolate(
            image_BCHW, (height, width), mode="bilinear", align_corners=False, antialias=True
        )

    def apply_coords_torch(self, coords: torch.Tensor, original_size: Sequence[int]) -> torch.Tensor:
        """Coordinates [..., 2] in the resized frame, float32. Raises: ValueError for another shape."""
        if not isinstance(coords, torch.Tensor) or coords.shape[-1:] != (2,):
            raise ValueError(f"coordinates must be a tensor [..., 2], x and y, got {in_words(coords)}")
        scale = torch.tensor(self._scale_xy(original_size), dtype=torch.float32, device=coords.device)
        return coords.float() * scale

    def apply_boxes_torch(self, boxes_xyxy: torch.Tensor, original_size: Sequence[int]) -> torch.Tensor:
        """Boxes [B, 4] in the resized frame, float32. Raises: ValueError for another shape."""
        if not isinstance(boxes_xyxy, torch.Tensor):
            raise ValueError(f"boxes must be a tensor [B, 4], XYXY, got {in_words(boxes_xyxy)}")
        refuse_no_boxes(tuple(boxes_xyxy.shape))
        return self.apply_coords_torch(boxes_xyxy.reshape(-1, 2, 2), original_size).reshape(-1, 4)

    @staticmethod
    def get_preprocess_shape(oldh: int, oldw: int, long_side_length: int) -> tuple[int, int]:
        """SA's name for `fitted_size`. Raises: ValueError for a side that is not a whole number."""
        height, width = checked_size((oldh, oldw), "the size")
        return fitted_size(height, width, ResizeLongestSide(long_side_length).target_length)

    def _scale_xy(self, original_size: Sequence[int]) -> tuple[float, float]:
        """One factor per side, because each side is rounded separately."""
        old_height, old_width = checked_size(original_size, "original_size")
        height, width = fitted_size(old_height, old_width, self.target_length)
        return width / old_width, height / old_height


def _is_grey_or_with_alpha(image: object) -> bool:
    """Whether it is a uint8 array of one, two or four channels, which Pillow and the original resize too."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.size == 0:
        return False
    return image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (2, 4))
