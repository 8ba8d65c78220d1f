"""A photo as a page carries it: scaled down, as WebP in a data URI."""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Longest side and quality of WebP, the best first; noise takes 2 kB at the last step, and photos less.
STEPS = ((640, 78), (640, 60), (560, 50), (480, 40), (400, 30), (320, 20), (240, 10), (120, 5), (64, 1))
_HEAD = "data:image/webp;base64,"


def photo_uri(image_HW3: NDArray[np.uint8], most_bytes: int) -> str:
    """The image as a data URI: the best of the STEPS that fits `most_bytes`, or the last one."""
    small = Image.fromarray(image_HW3)
    for side, quality in STEPS:
        small.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3)
        body = io.BytesIO()
        small.save(body, "WEBP", quality=quality)
        if len(_HEAD) + body.tell() * 4 // 3 + 4 <= most_bytes:
            break
    return _HEAD + base64.b64encode(body.getvalue()).decode("ascii")
