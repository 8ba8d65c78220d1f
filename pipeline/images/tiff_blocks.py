"""A window of a TIFF as a small TIFF: the strips or tiles that it touches, and tags that describe them.

The same decoder decodes the small file to the same pixels, with no more memory than the window needs. Strips
without compression are cut into rows, however long the strips are.
"""

import struct
from dataclasses import dataclass
from typing import Any

from pipeline.images.tiff_page import with_tags
from pipeline.images.tiff_tags import HEIGHT, STRIP_OFFSETS, TILE_OFFSETS, UNCOMPRESSED, WIDTH, TiffTags
from sam_core.cached import cached_property

_ROWS_A_STRIP, _STRIP_BYTES, _TILE_WIDTH, _TILE_HEIGHT, _TILE_BYTES = 278, 279, 322, 323, 325
_TABLES, _NODATA = 347, 42113
# What decides how a block becomes samples: bits, compression, photometric, fill order, bands, planes, fax
# options, predictor, palette, inks, extra samples, sample format, subsampling.
_KEPT = (258, 259, 262, 266, 277, 284, 292, 293, 317, 320, 332, 338, 339, 530)

Range = tuple[int, int]
XYXY = tuple[int, int, int, int]


@dataclass(frozen=True)
class Blocks:
    """The strips or tiles of a page."""

    tags: TiffTags

    @property
    def height(self) -> int:
        return self.tags.integers(HEIGHT)[0]

    @property
    def width(self) -> int:
        return self.tags.integers(WIDTH)[0]

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width of a block in pixels. Raises: ValueError if the tags give none."""
        if self._is_tiled:
            size = self.tags.integers(_TILE_HEIGHT)[0], self.tags.integers(_TILE_WIDTH)[0]
        else:
            size = 1 if self._row_bytes else self._rows_a_strip, self.width
        if min(size) < 1:
            raise ValueError("its strips or tiles have no pixel")
        return size

    def around(self, window_xyxy: XYXY) -> XYXY:
        """The smallest window of whole blocks that covers the window."""
        x0, y0, x1, y1 = window_xyxy
        height, width = self.size
        return (
            x0 // width * width,
            y0 // height * height,
            min(self.width, -(-x1 // width) * width),
            min(self.height, -(-y1 // height) * height),
        )

    def ranges(self, around_xyxy: XYXY) -> list[Range]:
        """Where in the file the blocks of such a window lie, plane by plane, row by row.

        Raises: ValueError if the tags name fewer blocks than the page needs.
        """
        x0, y0, x1, y1 = around_xyxy
        height, width = self.size
        across, down = -(-self.width // width), -(-self.height // height)
        planes = len(self.tags.bits) if self.tags.planar == 2 else 1
        try:
            return [
                self._range((plane * down + row) * across + column, plane, row)
                for plane in range(planes)
                for row in range(y0 // height, -(-y1 // height))
                for column in range(x0 // width, -(-x1 // width))
            ]
        except IndexError:
            raise ValueError("its tags name fewer strips or tiles than its size needs") from None

    def file(self, around_xyxy: XYXY, blocks: list[bytes]) -> bytes:
        """A TIFF of the window alone, from the bytes of its blocks."""
        x0, y0, x1, y1 = around_xyxy
        ifd, offsets, place = self.tags.ifd, [], 8
        for block in blocks:
            offsets.append(place)
            place += len(block)
        kept: dict[int, tuple[int, ...] | bytes] = {
            tag: self.tags.integers(tag) for tag in _KEPT if tag in ifd
        }
        kept |= {WIDTH: (x1 - x0,), HEIGHT: (y1 - y0,)}
        height, width = self.size
        counts = tuple(map(len, blocks))
        if self._is_tiled:
            kept |= {_TILE_WIDTH: (width,), _TILE_HEIGHT: (height,)}
            kept |= {TILE_OFFSETS: tuple(offsets), _TILE_BYTES: counts}
        else:
            kept |= {_ROWS_A_STRIP: (height,), STRIP_OFFSETS: tuple(offsets), _STRIP_BYTES: counts}
        for tag in (_TABLES, _NODATA):
            value: Any = ifd.get(tag)
            if isinstance(value, bytes | str):
                kept[tag] = value if isinstance(value, bytes) else value.encode("latin-1", "replace")
        order = "<" if ifd._endian == "<" else ">"
        head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
        return with_tags(head + b"".join(blocks), kept)

    @property
    def _is_tiled(self) -> bool:
        return TILE_OFFSETS in self.tags.ifd

    @property
    def _rows_a_strip(self) -> int:
        return min(self.height, self.tags.integers(_ROWS_A_STRIP)[0]) if self._has_rows else self.height

    @property
    def _has_rows(self) -> bool:
        return _ROWS_A_STRIP in self.tags.ifd

    @cached_property
    def _row_bytes(self) -> int:
        """Bytes of a row of a strip; 0 if the strips cannot be cut between rows."""
        if self._is_tiled or self.tags.compression != UNCOMPRESSED or len(set(self.tags.bits)) != 1:
            return 0
        bands = 1 if self.tags.planar == 2 else len(self.tags.bits)
        return -(-self.width * bands * self.tags.bits[0] // 8)

    @cached_property
    def _offsets(self) -> tuple[int, ...]:
        return self.tags.integers(TILE_OFFSETS if self._is_tiled else STRIP_OFFSETS)

    @cached_property
    def _counts(self) -> tuple[int, ...]:
        return self.tags.integers(_TILE_BYTES if self._is_tiled else _STRIP_BYTES)

    def _range(self, block: int, plane: int, row: int) -> Range:
        if not self._row_bytes:
            return self._offsets[block], self._offsets[block] + self._counts[block]
        strips = -(-self.height // self._rows_a_strip)
        strip, row_of_strip = divmod(row, self._rows_a_strip)
        start = self._offsets[plane * strips + strip] + row_of_strip * self._row_bytes
        return start, start + self._row_bytes
