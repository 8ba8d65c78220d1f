"""All 16 bits of a PNG's samples, of which Pillow keeps only the high byte if there is more than one band."""

import io

import numpy as np
from PIL import Image, ImageFile

from pipeline.images.scale import Samples

_RANGE = (0.0, 65535.0)
# How Pillow is to unpack the low bytes: as if the file were little-endian.
_LOW_BYTES = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L"}


def png_samples(data: bytes, image: ImageFile.ImageFile) -> Samples | None:
    """The samples of an open PNG that is not loaded yet, without alpha; None if it has 8 bits or fewer."""
    raw_mode = str(image.tile[0].args) if image.tile else ""
    if raw_mode == "I;16B":
        return Samples(np.asarray(image), _RANGE)
    if raw_mode == "LA;16B":  # four bytes a pixel, as RGBA: grey's high and low, alpha's high and low
        image.tile = [tile._replace(args="RGBA") for tile in image.tile]
        bytes_HW4 = np.asarray(image)
        return Samples(_joined(bytes_HW4[:, :, 0], bytes_HW4[:, :, 1]), _RANGE)
    if raw_mode not in _LOW_BYTES:
        return None
    again = Image.open(io.BytesIO(data), formats=["PNG"])
    again.tile = [tile._replace(args=_LOW_BYTES[raw_mode]) for tile in again.tile]
    high_HWC = np.asarray(image)[:, :, :3]
    return Samples(_joined(high_HWC, np.asarray(again)[:, :, :3]), _RANGE)


def _joined(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    joined = high.astype(np.uint16)
    joined <<= 8
    joined |= low
    return joined
