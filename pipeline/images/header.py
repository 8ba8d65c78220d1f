"""The size of an image by its header alone, for counts and estimates: no pixel is decoded."""

import io

from PIL import Image

from pipeline.images.heic import heic_size, is_heic_read
from pipeline.images.image_format import HEADER_BYTES, image_format


def stored_size(data: bytes) -> tuple[int, int]:
    """Width and height in pixels as they are stored; of a HEIC as they are shown.

    Raises: whatever a hostile or unknown header makes Pillow or libheif raise.
    """
    if image_format(data[:HEADER_BYTES]) == "HEIC" and is_heic_read():
        return heic_size(data)
    with Image.open(io.BytesIO(data)) as image:
        return image.size
