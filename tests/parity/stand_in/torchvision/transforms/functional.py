"""The two image functions of torchvision that the original segment-anything imports, by Pillow as there."""

import numpy as np
from PIL import Image


def to_pil_image(image_HW3: np.ndarray) -> Image.Image:
    """The RGB image in Pillow's form."""
    return Image.fromarray(image_HW3)


def resize(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The image at (height, width), bilinear."""
    height, width = size
    return image.resize((width, height), Image.Resampling.BILINEAR)
