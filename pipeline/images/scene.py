"""Images larger than memory: a TIFF that is read window by window (infra/adr/0026).

A window's strips or tiles are fetched, and decoded by a decoder like any image. The same samples become black
and white in the whole scene: if the scale depends on its samples, all are read once for their range before
the first window is labelled; percentiles of other samples than unsigned 16-bit integers need three passes.
"""

import base64
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

import numpy as np

from pipeline.errors import ImageError, Reason, StoreError
from pipeline.images.decode import DecodedImage
from pipeline.images.decode_pool import DecodePool
from pipeline.images.geo_tags import Transform, crs, geo_transform
from pipeline.images.percentile import BINS, percentiles_of_counts, percentiles_of_values
from pipeline.images.scale import given_percentiles, given_range, has_type_range, range_text
from pipeline.images.stored import EXIF_ORIENTATION
from pipeline.images.tiff_blocks import XYXY, Blocks
from pipeline.images.tiff_chain import pages
from pipeline.images.tiff_tags import TiffTags, UnreadLayoutError
from pipeline.pixel_reading import PixelReading
from pipeline.store.range_file import RangeFile

T = TypeVar("T")

PASS_SIDE = 2048  # side in pixels of the windows that are read for the range
MOST_WINDOW_BYTES = 256 << 20  # of the file, for one window
REMEDY = "store it in tiles, as `gdal_translate -co TILED=YES` does"


@dataclass
class Scene:
    """A page of a TIFF whose windows are read on demand; fields are named as in `DecodedImage`."""

    blocks: Blocks
    file: BinaryIO
    decoders: DecodePool
    max_pixels: int  # of one window with the blocks that it touches
    reading: PixelReading
    frames: int
    geo_transform: Transform | None
    crs: str | None
    exif_orientation: int = 1
    pixel_scale: str | None = None
    bands: str | None = None
    own: tuple[float, float] | None = None  # smallest and largest sample of the windows so far

    @property
    def pixels(self) -> "Scene":
        """What masks are made of."""
        return self

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and 3."""
        return self.blocks.height, self.blocks.width, 3

    @property
    def pixel_range(self) -> str | None:
        """The smallest and the largest sample of the windows that were read so far."""
        return range_text(*self.own) if self.own else None

    def window(self, xyxy: XYXY) -> np.ndarray:
        """The pixels from x0, y0 to x1, y1, without column x1 and row y1; uint8 RGB. Raises: ImageError."""
        around = self.blocks.around(xyxy)
        decoded = self._decoded(around, self.reading)
        self.pixel_scale, self.bands = decoded.pixel_scale, decoded.bands
        x0, y0, x1, y1 = xyxy
        left, top = around[:2]
        return decoded.image_HW3[y0 - top : y1 - top, x0 - left : x1 - left]

    def with_range(self) -> "Scene":
        """The scene with its range for black and white; reads all samples if the range depends on them."""
        scale = self.reading.scale
        tags = self.blocks.tags
        if tags.bits[0] <= 8 or given_range(scale) or (scale == "full" and has_type_range(tags)):
            return self
        if given := given_percentiles(scale):
            found = self._percentiles(*given)
        else:
            for _ in self._pass(self.reading):
                pass
            found = self.own
        self.reading = self.reading.with_range(range_text(*found or (0.0, 0.0)))
        return self

    def _percentiles(self, first: float, last: float) -> tuple[float, float] | None:
        """The samples at two percentiles: one pass for unsigned integers of up to 16 bits, else three."""
        if has_type_range(self.blocks.tags):
            return percentiles_of_values(self._counted("values"), first, last)
        return percentiles_of_counts(
            lambda: self._counted("upper"), lambda bin_: self._counted(str(bin_)), first, last
        )

    def _counted(self, of: str) -> np.ndarray:
        counts = np.zeros(BINS, np.int64)
        for decoded in self._pass(self.reading.with_range(f"counts:{of}")):
            packed = base64.b85decode(decoded.pixel_scale or "")
            counts += np.frombuffer(zlib.decompressobj().decompress(packed, 8 * BINS), np.int64)
        return counts

    def _pass(self, reading: PixelReading) -> Iterator[DecodedImage]:
        """The whole scene once, in windows that do not overlap."""
        height, width = self.blocks.size
        step_x = max(width, PASS_SIDE // width * width)
        rows = min(PASS_SIDE, self.max_pixels // min(step_x, self.blocks.width))
        step_y = max(height, rows // height * height)
        for top in range(0, self.blocks.height, step_y):
            for left in range(0, self.blocks.width, step_x):
                right, bottom = left + step_x, top + step_y
                yield self._decoded(
                    (left, top, min(right, self.blocks.width), min(bottom, self.blocks.height)), reading
                )

    def _decoded(self, around: XYXY, reading: PixelReading) -> DecodedImage:
        x0, y0, x1, y1 = around
        ranges = _faults_of_file(lambda: self.blocks.ranges(around))
        size = sum(end - start for start, end in ranges)
        if (x1 - x0) * (y1 - y0) > self.max_pixels or size > MOST_WINDOW_BYTES:
            raise ImageError(
                Reason.TOO_LARGE,
                f"one window reads strips or tiles of {x1 - x0} x {y1 - y0} pixels, {size} bytes; {REMEDY}",
            )
        data = _faults_of_file(lambda: self.blocks.file(around, self._read(ranges)))
        decoded = self.decoders.decode(data, reading=reading)
        if decoded.image_HW3.shape != (y1 - y0, x1 - x0, 3):
            raise ImageError(Reason.CORRUPT, "a window of it does not have the size that its tags say")
        if decoded.pixel_range:
            low, _, high = decoded.pixel_range.partition(":")
            lowest, highest = self.own or (float(low), float(high))
            self.own = min(lowest, float(low)), max(highest, float(high))
        return decoded

    def _read(self, ranges: list[tuple[int, int]]) -> list[bytes]:
        if isinstance(self.file, RangeFile):
            self.file.fetch(ranges)
        blocks = []
        for start, end in ranges:
            self.file.seek(start)
            blocks.append(self.file.read(end - start))
            if len(blocks[-1]) < end - start:
                raise ImageError(
                    Reason.TRUNCATED, f"a strip or tile ends at byte {end}, beyond the end of the file"
                )
        return blocks


def opened_scene(
    file: BinaryIO, size: int, frame: int | None, decoders: DecodePool, max_pixels: int, reading: PixelReading
) -> Scene:
    """The scene in a TIFF of `size` bytes, ready to be read by windows.

    Raises: ImageError; TOO_LARGE for a page that is stored turned.
    """

    def opened() -> Scene:
        chain = list(pages(file))
        if not chain or (frame or 0) >= len(chain):
            raise ImageError(Reason.CORRUPT, f"there is no frame {frame or 0}: the file has {len(chain)}")
        file.seek(0)
        tags = TiffTags.of_file(file, size, chain[frame or 0].offset)
        tags.refuse_unread()
        if tags.ifd.get(EXIF_ORIENTATION, 1) != 1:
            raise ImageError(
                Reason.TOO_LARGE,
                "it is stored rotated (EXIF orientation), and such a TIFF cannot be read in windows",
            )
        blocks = Blocks(tags)
        _ = blocks.size
        place = geo_transform(tags.ifd), crs(tags.ifd)
        return Scene(blocks, file, decoders, max_pixels, reading, len(chain), *place)

    return _faults_of_file(opened).with_range()


def _faults_of_file(call: Callable[[], T]) -> T:
    """What `call` returns. Raises: ImageError in place of whatever hostile tags make it raise."""
    try:
        return call()
    except (ImageError, MemoryError):
        raise
    except StoreError as fault:
        raise ImageError(fault.reason, str(fault)) from fault
    except UnreadLayoutError as layout:
        raise ImageError(
            Reason.UNSUPPORTED, f"TIFF with {layout} is not supported; {layout.remedy}"
        ) from layout
    except Exception as fault:  # Pillow reads the tags, and raises anything
        raise ImageError(Reason.CORRUPT, f"TIFF: {type(fault).__name__}: {fault}") from fault
