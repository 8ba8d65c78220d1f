"""Encoded bytes to an upright RGB image, or the one reason why not.

Pillow raises far more than OSError on hostile files (of 4,014 refusals 307 were ValueError, IndexError,
SyntaxError, struct.error and others), so faults are told apart by the stage that failed, not by their type.
Pillow's leniency for cut-off files stays off. Anything worse than an exception is `decode_pool`'s to
withstand.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import Image

from pipeline.errors import ImageError, Reason
from pipeline.images.image_format import DECODED_FORMATS, HEADER_BYTES, image_format, is_cut_off
from pipeline.images.rgb import UnknownModeError, rgb_image

EXIF_ORIENTATION = 0x0112
SHOWN_BYTES = 16  # of a file that is no image: enough to know a web page or an archive again


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
class DecodedImage:
    """An upright image, uint8 RGB; the EXIF orientation (1..8) and the number of frames of its file."""

    image_HW3: np.ndarray
    exif_orientation: int
    frames: int


def decoded_image(data: bytes, max_pixels: int) -> DecodedImage:
    """The first frame of an image file, turned upright, as RGB.

    Raises: ImageError with EMPTY, NOT_AN_IMAGE, UNSUPPORTED, TOO_LARGE, TRUNCATED or CORRUPT.
    """
    name = _decoded_format(data)
    Image.MAX_IMAGE_PIXELS = (
        max_pixels // 2 + 1
    )  # Pillow refuses at twice this; it guards frames and tiles too
    with _fault_of_file(data, name):
        image: Image.Image = Image.open(io.BytesIO(data), formats=[name])
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError(
            Reason.TOO_LARGE,
            f"{width} x {height} is more than the limit of {max_pixels} pixels; raise max_image_pixels",
        )
    with _fault_of_file(data, name):
        image_HW3, orientation = _upright_pixels(image)
        frames = int(getattr(image, "n_frames", 1))  # after the pixels: counting moves on to other frames
    return DecodedImage(image_HW3, orientation, frames)


def _upright_pixels(image: Image.Image) -> tuple[np.ndarray, int]:
    if image.format == "TIFF":  # Pillow turns TIFFs as it loads them, and forgets how they lay
        orientation = _exif_orientation(image)
        return np.asarray(rgb_image(image)), orientation
    image.load()  # before EXIF is read: a PNG loads to find it, and a second load hides the fault
    rgb, orientation = rgb_image(image), _exif_orientation(image)
    if orientation in UPRIGHT_BY_ORIENTATION:
        rgb = rgb.transpose(UPRIGHT_BY_ORIENTATION[orientation])
    return np.asarray(rgb), orientation


def _decoded_format(data: bytes) -> str:
    if not data:
        raise ImageError(Reason.EMPTY, "the file has 0 bytes")
    name = image_format(data[:HEADER_BYTES])
    if name is None:
        raise ImageError(Reason.NOT_AN_IMAGE, f"no image format begins with {data[:SHOWN_BYTES]!r}")
    if name not in DECODED_FORMATS:
        readable = ", ".join(sorted(DECODED_FORMATS))
        raise ImageError(Reason.UNSUPPORTED, f"{name} is not read; convert it to one of {readable}")
    return name


def _exif_orientation(image: Image.Image) -> int:
    """1..8; 1 where there is none. Broken EXIF in a sound photo counts as none, as in every viewer."""
    try:
        orientation = image.getexif().get(EXIF_ORIENTATION, 1)
    except Exception:  # noqa: BLE001  # hostile EXIF raises anything, and the pixels do not depend on it
        return 1
    return orientation if orientation in UPRIGHT_BY_ORIENTATION else 1


@contextmanager
def _fault_of_file(data: bytes, name: str) -> Iterator[None]:
    """Turns whatever Pillow raises into the ImageError that says what is wrong with the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except UnknownModeError as fault:
        raise ImageError(Reason.UNSUPPORTED, f"{name}: {fault}") from fault
    except Image.DecompressionBombError as fault:
        raise ImageError(Reason.TOO_LARGE, f"{name}: {fault}") from fault
    except MemoryError:
        raise  # a limit of the process, not a fault of the file: for whoever set it
    except Exception as fault:  # told apart by stage, see the module's docstring
        cut_off = is_cut_off(data, name) or "truncated" in str(fault)
        reason = Reason.TRUNCATED if cut_off else Reason.CORRUPT
        raise ImageError(reason, f"{name} of {len(data)} bytes: {type(fault).__name__}: {fault}") from fault
