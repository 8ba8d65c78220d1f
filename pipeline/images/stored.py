"""A frame of a file on its way to an upright RGB image: what is asked for, and what was found."""

import io
from dataclasses import dataclass

from PIL import Image, ImageFile, UnidentifiedImageError

from pipeline.errors import ImageError, Reason
from pipeline.images.geo_tags import Transform
from pipeline.images.scale import Samples
from pipeline.pixel_reading import PixelReading

EXIF_ORIENTATION = 0x0112
# What each EXIF orientation needs to stand upright; 1, and numbers that EXIF does not know, need nothing.
UPRIGHT_BY_ORIENTATION = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Stored:
    """A frame of a file as its samples or as 8-bit RGB, and what is left to do to make it upright."""

    pixels: Samples | Image.Image
    is_deep: bool  # more than 8 bits a sample
    orientation: int
    is_upright: bool
    frames: int
    bands: str | None = None
    geo_transform: Transform | None = None
    crs: str | None = None


@dataclass(frozen=True)
class Asked:
    """What is wanted of a file."""

    max_pixels: int
    reading: PixelReading
    frame: int | None  # None: the first


def opened(data: bytes, name: str) -> ImageFile.ImageFile:
    """The file as Pillow opens it, its pixels unread. Raises: whatever Pillow raises."""
    try:
        return Image.open(io.BytesIO(data), formats=[name])
    except UnidentifiedImageError:
        if name != "TIFF":
            factory, _ = Image.OPEN[name]
            factory(io.BytesIO(data), "")  # again, for the reason, which Image.open hides
        raise


def refuse_size(width: int, height: int, max_pixels: int) -> None:
    """Raises ImageError for an image of more pixels than the limit."""
    if width * height > max_pixels:
        raise ImageError(
            Reason.TOO_LARGE,
            f"{width} x {height} is more than the limit of {max_pixels} pixels; raise max_image_pixels",
        )


def no_frame(frame: int, frames: int) -> ImageError:
    """The fault of a frame that the file does not have."""
    return ImageError(
        Reason.CORRUPT, f"there is no frame {frame}: frames count from 0, and the file has {frames}"
    )
