"""Encoded bytes to an upright RGB image, or the one reason why not.

Pillow raises far more than OSError on hostile files (of 4,014 refusals 307 were ValueError, IndexError,
SyntaxError, struct.error and others), so faults are told apart by the stage that failed, not by their type.
Pillow's leniency for cut-off files stays off. `decode_pool` handles decoders that crash or hang.
Pillow warns of broken metadata as in any other program: warnings cannot be hidden in one thread alone.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from PIL import AvifImagePlugin, Image, ImageFile, features

from pipeline.errors import ImageError, Reason
from pipeline.images.geo_tags import Transform
from pipeline.images.heic import INSTALL, is_heic_read, stored_heic
from pipeline.images.image_format import DECODED_FORMATS, HEADER_BYTES, image_format, is_cut_off
from pipeline.images.jpeg_end import ended_jpeg, lacks_end
from pipeline.images.netpbm import netpbm_samples
from pipeline.images.pillow_limit import NONE, pillow_limit
from pipeline.images.png_chunks import bare_png
from pipeline.images.png_samples import png_samples
from pipeline.images.rgb import UnknownModeError, rgb_image
from pipeline.images.scale import Samples, scaled
from pipeline.images.stored import (
    EXIF_ORIENTATION,
    UPRIGHT_BY_ORIENTATION,
    Asked,
    Stored,
    no_frame,
    opened,
    refuse_size,
)
from pipeline.images.tiff_image import stored_tiff
from pipeline.images.tiff_tags import UnreadLayoutError
from pipeline.pixel_reading import AS_STORED, PixelReading

# Measured: 10 bytes a pixel of grey, 20 of RGB, 25 of RGBA; its samples are 32-bit.
OPENJPEG_BYTES_A_PIXEL = 6
OPENJPEG_BYTES_A_SAMPLE = 5
SHOWN_BYTES = 16  # of a file that is no image: enough to recognise a web page or an archive
AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # one thread for each core would not fit into a decoder's memory

# Formats that a build of Pillow may lack, as `features` calls them.
_CODECS = {"AVIF": "avif", "JPEG2000": "jpg_2000"}
_READERS = {"TIFF": stored_tiff, "HEIC": stored_heic}  # besides Pillow's own
# What Pillow and libheif say of files that may be sound.
_UNSUPPORTED = re.compile(r"unsupported|not (yet )?supported|cannot handle|unknown (pixel|raw) mode", re.I)
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_CUT_OFF = re.compile(r"truncated|not enough image data|reached EOF|end of file|insufficient input", re.I)
_OUT_OF_MEMORY = re.compile(r"out of memory|allocating \d+ bytes failed", re.I)
_BEYOND_LIMIT = re.compile(r"security limit", re.I)  # a limit of libheif itself


@dataclass(frozen=True)
class DecodedImage:
    """An upright image, uint8 RGB; the EXIF orientation (1..8) and the number of frames of its file.

    Of an image with more than 8 bits a sample, `pixel_scale` says which samples became 0 and 255, and
    `pixel_range` which are its smallest and largest, each as "LO:HI". `bands` are those of a TIFF that were
    asked for, as "4,3,2". `geo_transform` and `crs` are a GeoTIFF's (`pipeline.images.geo_tags`).
    """

    image_HW3: np.ndarray
    exif_orientation: int
    frames: int
    pixel_scale: str | None = None
    pixel_range: str | None = None
    bands: str | None = None
    geo_transform: Transform | None = None
    crs: str | None = None

    @property
    def pixels(self) -> np.ndarray:
        """What masks are made of."""
        return self.image_HW3


def decoded_image(
    data: bytes, max_pixels: int, reading: PixelReading = AS_STORED, frame: int | None = None
) -> DecodedImage:
    """A frame of an image file, turned upright, as RGB: the first, or the one of this number, from 0.

    Raises: ImageError with EMPTY, NOT_AN_IMAGE, UNSUPPORTED, TOO_LARGE, TRUNCATED or CORRUPT.
    """
    name, asked = _decoded_format(data), Asked(max_pixels, reading, frame)
    if name == "JPEG" and lacks_end(data):
        return _decoded(_ended(data, max_pixels), name, asked)
    try:
        return _decoded(data, name, asked)
    except ImageError as fault:
        if name != "PNG" or fault.reason not in (Reason.CORRUPT, Reason.TRUNCATED):
            raise
    return _decoded(bare_png(data), name, asked)  # the fault may be in metadata alone


def _ended(data: bytes, max_pixels: int) -> bytes:
    """The JPEG with the end marker that it lacks. Raises: ImageError with TOO_LARGE or TRUNCATED."""
    with _fault_of_file(data, "JPEG"), pillow_limit(max_pixels):
        refuse_size(*opened(data, "JPEG").size, max_pixels)
        ended = ended_jpeg(data)
        if ended is None:
            raise ValueError("the file is truncated: it has no end marker, and pixels are missing")
    return ended


def _decoded(data: bytes, name: str, asked: Asked) -> DecodedImage:
    # Pillow's limit covers the frames too. A TIFF is measured before, and Pillow may get a wider page.
    limit = NONE if name == "TIFF" else asked.max_pixels
    with _fault_of_file(data, name), pillow_limit(limit):
        stored = _READERS[name](data, asked) if name in _READERS else _stored(data, name, asked)
        pixel_scale = pixel_range = None
        rgb = stored.pixels
        if isinstance(rgb, Samples):
            samples = replace(rgb, nodata_of_run=asked.reading.nodata)
            in_8_bits = scaled(samples, asked.reading.scale if stored.is_deep else "full")
            rgb = Image.fromarray(in_8_bits.pixels).convert("RGB")
            if stored.is_deep:
                pixel_scale, pixel_range = in_8_bits.pixel_scale, in_8_bits.pixel_range
        if not stored.is_upright and stored.orientation in UPRIGHT_BY_ORIENTATION:
            rgb = rgb.transpose(UPRIGHT_BY_ORIENTATION[stored.orientation])
        return DecodedImage(
            np.asarray(rgb),
            stored.orientation,
            stored.frames,
            pixel_scale,
            pixel_range,
            stored.bands,
            stored.geo_transform,
            stored.crs,
        )


def _stored(data: bytes, name: str, asked: Asked) -> Stored:
    image = opened(data, name)
    refuse_size(*image.size, asked.max_pixels)
    if asked.frame:
        return _later_frame(image, asked.frame, asked.max_pixels)
    if name == "JPEG2000":
        _refuse_without_room(image)
    samples, is_deep = None, False
    if name == "PNG":
        samples = png_samples(data, image)
        is_deep = samples is not None
    elif name == "PPM" and (netpbm := netpbm_samples(data, image)):
        samples, largest = netpbm
        is_deep = largest > 255
    image.load()  # before EXIF is read: a PNG loads to find it, and a second load hides the fault
    pixels = rgb_image(image) if samples is None else samples
    frames = int(getattr(image, "n_frames", 1))  # after the pixels: counting moves on to other frames
    return Stored(pixels, is_deep, _exif_orientation(image), False, frames)


def _refuse_without_room(image: Image.Image) -> None:
    """Raises MemoryError if OpenJPEG would lack memory, since it would report a broken file instead."""
    bytes_a_pixel = OPENJPEG_BYTES_A_PIXEL + OPENJPEG_BYTES_A_SAMPLE * len(image.getbands())
    np.empty(bytes_a_pixel * image.width * image.height, np.uint8)


def _later_frame(image: ImageFile.ImageFile, frame: int, max_pixels: int) -> Stored:
    """A frame after the first, as viewers show it: drawn over what the earlier frames leave."""
    try:
        image.seek(frame)
    except EOFError:
        raise no_frame(frame, int(getattr(image, "n_frames", 1))) from None
    refuse_size(*image.size, max_pixels)  # frames of a GIF grow
    image.load()
    pixels = rgb_image(image).copy()  # counting moves on to other frames
    return Stored(pixels, False, _exif_orientation(image), False, int(getattr(image, "n_frames", 1)))


def _decoded_format(data: bytes) -> str:
    if not data:
        raise ImageError(Reason.EMPTY, "the file has 0 bytes")
    name = image_format(data[:HEADER_BYTES])
    if name is None:
        raise ImageError(Reason.NOT_AN_IMAGE, f"no image format begins with {data[:SHOWN_BYTES]!r}")
    if name == "HEIC" and not is_heic_read():
        raise ImageError(Reason.UNSUPPORTED, f"HEIC needs a package that is not installed; {INSTALL}")
    codec = _CODECS.get(name)
    if name not in DECODED_FORMATS or (codec is not None and not features.check(codec)):
        readable = ", ".join(sorted(DECODED_FORMATS - {name}))
        raise ImageError(Reason.UNSUPPORTED, f"{name} is not supported; convert it to one of {readable}")
    return name


def _exif_orientation(image: Image.Image) -> int:
    """1..8; 1 if there is none. Broken EXIF in a sound photo counts as none, as in every viewer."""
    try:
        orientation = image.getexif().get(EXIF_ORIENTATION, 1)
    except Warning:  # where the program makes warnings errors: 1 might be wrong
        raise
    except Exception:  # noqa: BLE001  # hostile EXIF raises anything, and the pixels do not depend on it
        return 1
    return orientation if orientation in UPRIGHT_BY_ORIENTATION else 1


@contextmanager
def _fault_of_file(data: bytes, name: str) -> Iterator[None]:
    """Turns whatever Pillow raises into the ImageError that says what is wrong with the file."""
    try:
        yield
    except ImageError:
        raise
    except UnreadLayoutError as layout:
        message = f"{name} with {layout} is not supported; {layout.remedy}"
        raise ImageError(Reason.UNSUPPORTED, message) from layout
    except UnknownModeError as fault:
        raise ImageError(Reason.UNSUPPORTED, f"{name}: {fault}") from fault
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as fault:
        raise ImageError(Reason.TOO_LARGE, f"{name}: {fault}") from fault
    except MemoryError:
        raise  # a limit of the process, not a fault of the file: the caller handles it
    except Exception as fault:  # told apart by stage, see the module's docstring
        if _OUT_OF_MEMORY.search(str(fault)):
            raise MemoryError(str(fault)) from fault
        why = _ADDRESS.sub("", f"{type(fault).__name__}: {fault}")  # equal files give equal messages
        reason = Reason.CORRUPT
        if is_cut_off(data, name) or _CUT_OFF.search(why):
            reason = Reason.TRUNCATED
        elif _BEYOND_LIMIT.search(why):
            reason = Reason.TOO_LARGE
        elif _UNSUPPORTED.search(why):
            reason = Reason.UNSUPPORTED
        raise ImageError(reason, f"{name} of {len(data)} bytes: {why}") from fault
