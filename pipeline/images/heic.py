"""HEIC, decoded by libheif through the package pillow-heif, the extra `heic`.

libheif applies the file's own rotation, mirroring and cropping, and an orientation in its EXIF is ignored
(ISO/IEC 23008-12): whoever loads the file gets it upright, and so its orientation is recorded as 1.
"""

from importlib.util import find_spec

import numpy as np
from PIL import Image

from pipeline.errors import ImageError, Reason
from pipeline.images.rgb import UnknownModeError, rgb_image
from pipeline.images.scale import Samples
from pipeline.images.stored import Asked, Stored, no_frame, refuse_size

INSTALL = "install it: pip install 'sam-label[heic]'"
_BANDS = {"RGB": 3, "RGBA": 4, "L": 1, "I": 1, "LA": 2}  # of samples with more than 8 bits


def is_heic_read() -> bool:
    """Whether the package is installed."""
    return find_spec("pillow_heif") is not None


def heic_size(data: bytes) -> tuple[int, int]:
    """Width and height of the image that viewers show. Raises: whatever libheif raises on a hostile file."""
    import pillow_heif

    width, height = pillow_heif.open_heif(data).size
    return width, height


def stored_heic(data: bytes, asked: Asked) -> Stored:
    """A HEIC's image: the one that viewers show, or the one of a number, from 0 in the file's order.

    Raises: ImageError, UnknownModeError, and whatever libheif raises on a hostile file.
    """
    import pillow_heif

    pillow_heif.options.DECODE_THREADS = 1  # one thread for each core would not fit into a decoder's memory
    file = pillow_heif.open_heif(data, convert_hdr_to_8bit=False, hdr_to_16bit=False)
    frames = len(file)
    if not frames:
        raise ImageError(Reason.UNSUPPORTED, "HEIC with a video and no still image is not supported")
    number = file.primary_index if asked.frame is None else asked.frame
    if number >= frames:
        raise no_frame(number, frames)
    image = file[number]
    refuse_size(*image.size, asked.max_pixels)
    body, mode = image.data, image.mode
    refuse_size(*image.size, asked.max_pixels)  # the decoded picture may be larger than its header says
    if ";" in mode:
        return Stored(_samples(body, mode, image.size), True, 1, True, frames)
    pixels = Image.frombuffer(mode, image.size, body, "raw", mode, image.stride, 1)
    return Stored(rgb_image(pixels), False, 1, True, frames)


def _samples(body: bytes, mode: str, size: tuple[int, int]) -> Samples:
    """Samples of 10 or 12 bits, without alpha."""
    name, _, bits = mode.partition(";")
    if name not in _BANDS:
        raise UnknownModeError(f"pixel mode {mode} has no conversion to RGB")
    width, height = size
    values_HWC = np.frombuffer(body, np.uint16).reshape(height, width, _BANDS[name])
    colours = values_HWC[:, :, :3] if _BANDS[name] > 2 else values_HWC[:, :, 0]
    return Samples(colours, (0, 2 ** int(bits) - 1))
