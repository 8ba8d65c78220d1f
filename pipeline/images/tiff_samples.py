"""The samples of TIFFs whose layout Pillow does not read: over 8 bits, signed, floats, separate planes.

Pillow and libtiff handle compression, strips and tiles of 8-bit grey correctly. So such a file gets new tags
that declare each byte of a row as a grey pixel, one plane at a time. NumPy then reads the bytes as the
samples that the file's own tags describe, and undoes the predictor.
"""

import io

import numpy as np
from PIL import Image

from pipeline.images.scale import Samples
from pipeline.images.tiff_page import with_tags
from pipeline.images.tiff_tags import (
    BANDS,
    BITS,
    BLACK_IS_ZERO,
    COMPRESSION,
    FLOAT,
    HEIGHT,
    PHOTOMETRIC,
    PLANAR,
    PREMULTIPLIED,
    RGB,
    SEPARATED,
    SIGNED,
    STRIP_OFFSETS,
    TILE_OFFSETS,
    UNSIGNED,
    WHITE_IS_ZERO,
    WIDTH,
    TiffTags,
    UnchosenBandsError,
    UnreadLayoutError,
)

_STRIP_BYTES, _TILE_BYTES, _TILE_WIDTH = 279, 325, 322
_COPIED = (266, 278, 323)  # fill order, rows a strip, tile height
_JPEG_TABLES = 347
# Also orientation, fax options, predictor, palette, ink set, extra samples and sample format.
_LAYOUT = (WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, BANDS, STRIP_OFFSETS, TILE_OFFSETS)
_KEPT = (*_COPIED, *_LAYOUT, _STRIP_BYTES, _TILE_BYTES, _TILE_WIDTH, 274, 292, 293, 317, 320, 332, 338, 339)
_BYTEWISE = frozenset({1, 5, 8, 32773, 32946, 34925, 50000})  # compressions whose bytes are samples
_JPEG = 7
_KINDS = {UNSIGNED: "u", SIGNED: "i", FLOAT: "f"}
_HORIZONTAL, _FLOATING_POINT = 2, 3


def one_plane(data: bytes, tags: TiffTags) -> bytes:
    """The file with tags that Pillow reads: a single band in "separate planes" is the same in one plane."""
    if len(tags.bits) != 1 or tags.planar == 1:
        return data
    kept: dict[int, tuple[int, ...] | bytes] = {tag: tags.integers(tag) for tag in _KEPT if tag in tags.ifd}
    if _JPEG_TABLES in tags.ifd:
        kept[_JPEG_TABLES] = tags.ifd[_JPEG_TABLES]
    return with_tags(data, kept | {PLANAR: (1,)})


def chosen_bands(data: bytes, tags: TiffTags, chosen: tuple[int, ...]) -> Samples:
    """The samples of these bands of the first page, counted from 1: three as RGB, one as grey.

    Raises: UnreadLayoutError, and whatever Pillow raises on damaged data.
    """
    if max(chosen) > len(tags.bits):
        raise UnreadLayoutError(f"{len(tags.bits)} bands and no band {max(chosen)}, which --bands names,")
    if tags.photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB):
        raise UnreadLayoutError(f"{tags.described()}, whose bands --bands cannot choose from,")
    places = [band - 1 for band in chosen]
    if tags.planar == 2:
        values_HWC = np.concatenate([_bands(data, tags, plane, 1) for plane in places], axis=2)
    elif tags.compression == _JPEG and len(tags.bits) > 1:
        raise UnreadLayoutError(tags.described())
    else:
        values_HWC = _bands(data, tags, 0, len(tags.bits))[:, :, places]
    values = values_HWC[:, :, 0] if len(chosen) == 1 else values_HWC
    type_range = _type_range(tags.bits[0], tags.sample_format[0])
    return Samples(values, type_range, tags.nodata, tags.photometric == WHITE_IS_ZERO)


def tiff_samples(data: bytes, tags: TiffTags) -> Samples | None:
    """The samples of the first page as they are stored; None if Pillow reads the page correctly.

    Raises: UnreadLayoutError, and whatever Pillow raises on damaged data.
    """
    bits, sample_format = tags.bits[0] if tags.bits else 0, tags.sample_format[0]
    is_grey = tags.photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO)
    if bits <= 8 and sample_format == UNSIGNED and (len(tags.bits) == 1 or tags.planar == 1):
        return None
    if tags.photometric == SEPARATED and tags.planar == 1 and bits == 16:
        return None  # Pillow reads the high bytes; no scale applies, since they are ink and not light
    if tags.photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB):
        raise UnreadLayoutError(tags.described())
    is_multiplied = tags.extra[:1] == (PREMULTIPLIED,)
    if is_multiplied and (sample_format != UNSIGNED or bits > 16):
        raise UnreadLayoutError(f"{tags.described()} and premultiplied alpha (ExtraSamples 1)")
    used = tags.colours + is_multiplied
    # Grey and more bands: the file does not say what these are, and which of them to show.
    if is_grey and len(tags.bits) > 1 and tags.extra not in ((1,), (2,)):
        raise UnchosenBandsError(tags.described())
    if len(tags.bits) < used:
        raise UnreadLayoutError(tags.described())
    if tags.planar == 2:
        values_HWC = np.concatenate([_bands(data, tags, plane, 1) for plane in range(used)], axis=2)
    else:
        values_HWC = _bands(data, tags, 0, len(tags.bits))
    if is_multiplied:
        values_HWC = _unmultiplied(values_HWC, tags.colours)
    values = values_HWC[:, :, 0] if is_grey else values_HWC[:, :, :3]
    return Samples(values, _type_range(bits, sample_format), tags.nodata, tags.photometric == WHITE_IS_ZERO)


def _type_range(bits: int, sample_format: int) -> tuple[float, float] | None:
    if sample_format == UNSIGNED and bits <= 16:
        return 0, (1 << bits) - 1
    return (-128, 127) if bits == 8 else None


def _bands(data: bytes, tags: TiffTags, plane: int, bands: int) -> np.ndarray:
    """The bands of one plane, [H, W, bands], of the type that the tags name."""
    bits, width = tags.bits[0], tags.integers(WIDTH)[0]
    kind, order = _KINDS.get(tags.sample_format[0]), "<" if data.startswith(b"II") else ">"
    is_whole = bits in (8, 16, 32, 64) and (kind != "f" or bits > 8)
    if kind is None or not (is_whole or (bits == 12 and kind == "u" and tags.predictor == 1)):
        raise UnreadLayoutError(tags.described())
    if tags.compression not in _BYTEWISE and not (tags.compression == _JPEG and bits == 8):
        raise UnreadLayoutError(tags.described())
    columns = tags.integers(_TILE_WIDTH)[0] if TILE_OFFSETS in tags.ifd else width
    if columns < 1 or width < 1:
        raise ValueError("its width or its tiles' width is 0")
    padded_width = -(-width // columns) * columns
    bytes_HB = _plane_bytes(data, tags, plane, bands * bits, columns, padded_width)
    shape = (len(bytes_HB), padded_width, bands)
    sample_type = np.dtype(f"{order}{kind}{bits // 8}")
    if bits == 12:
        values_HWC = _twelve_bits(bytes_HB)[:, : padded_width * bands].reshape(shape)
    elif tags.predictor == 1 or not tags.has_predictor:
        values_HWC = bytes_HB.view(sample_type).reshape(shape)
    elif tags.predictor == _HORIZONTAL:
        values_HWC = _sums(bytes_HB.view(sample_type).reshape(shape), columns)
    elif tags.predictor == _FLOATING_POINT and kind == "f":
        values_HWC = _floats(bytes_HB, bands, columns, sample_type.itemsize)
    else:
        raise UnreadLayoutError(tags.described())
    return values_HWC[:, :width]


def _plane_bytes(
    data: bytes, tags: TiffTags, plane: int, bits_a_pixel: int, columns: int, width: int
) -> np.ndarray:
    """The unpacked bytes of a plane's rows, uint8 [H, bytes a row], read as a page of 8-bit grey.

    A tile is `columns` wide; a row is as wide as all its tiles, since the predictor needs whole tiles.
    """
    is_tiled = TILE_OFFSETS in tags.ifd
    planes = len(tags.bits) if tags.planar == 2 else 1
    page: dict[int, tuple[int, ...] | bytes] = {tag: tags.integers(tag) for tag in _COPIED if tag in tags.ifd}
    page |= {WIDTH: (-(-width * bits_a_pixel // 8),), HEIGHT: tags.integers(HEIGHT), BITS: (8,)}
    page |= {COMPRESSION: (tags.compression,), PHOTOMETRIC: (BLACK_IS_ZERO,), BANDS: (1,), PLANAR: (1,)}
    for tag in (TILE_OFFSETS, _TILE_BYTES) if is_tiled else (STRIP_OFFSETS, _STRIP_BYTES):
        if tag in tags.ifd:
            numbers = tags.integers(tag)
            count = len(numbers) // planes
            page[tag] = numbers[plane * count : (plane + 1) * count]
    if is_tiled:
        page[_TILE_WIDTH] = (columns * bits_a_pixel // 8,)
    if _JPEG_TABLES in tags.ifd:
        page[_JPEG_TABLES] = tags.ifd[_JPEG_TABLES]
    return np.asarray(Image.open(io.BytesIO(with_tags(data, page)), formats=["TIFF"]))


def _twelve_bits(bytes_HB: np.ndarray) -> np.ndarray:
    """uint16 [H, samples]: three bytes hold two samples; a row with an odd number gets one too many."""
    padded_HB = np.pad(bytes_HB, ((0, 0), (0, -bytes_HB.shape[1] % 3))).astype(np.uint16)
    first, second, third = padded_HB[:, 0::3], padded_HB[:, 1::3], padded_HB[:, 2::3]
    pairs = np.stack([first << 4 | second >> 4, (second & 15) << 8 | third], axis=2)
    return pairs.reshape(len(bytes_HB), -1)


def _sums(values_HWC: np.ndarray, columns: int) -> np.ndarray:
    """Undoes predictor 2: samples are stored as differences, which start anew in each tile."""
    kind, size = values_HWC.dtype.kind, values_HWC.dtype.itemsize
    differences = values_HWC.view(f"{values_HWC.dtype.byteorder}u{size}").astype(f"=u{size}")
    for left in range(0, differences.shape[1], columns):
        tile = differences[:, left : left + columns]
        np.cumsum(tile, axis=1, dtype=tile.dtype, out=tile)
    return differences.view(f"={kind}{size}")


def _floats(bytes_HB: np.ndarray, bands: int, columns: int, size: int) -> np.ndarray:
    """Undoes predictor 3: a tile's row holds the highest bytes of all its samples first, as differences."""
    height, samples = len(bytes_HB), bytes_HB.shape[1] // size
    differences = bytes_HB.reshape(height, samples // (columns * bands), columns * size, bands)
    planes = np.cumsum(differences, axis=2, dtype=np.uint8).reshape(height, -1, size, columns * bands)
    big_endian = np.ascontiguousarray(planes.swapaxes(2, 3)).view(f">f{size}")
    return big_endian.reshape(height, samples // bands, bands)


def _unmultiplied(values_HWC: np.ndarray, colours: int) -> np.ndarray:
    """The colours without their premultiplied alpha, which is the band behind them."""
    most = np.iinfo(values_HWC.dtype).max
    alpha_HW1 = values_HWC[:, :, colours : colours + 1].astype(np.float64)
    divided = values_HWC[:, :, :colours] * (most / np.maximum(alpha_HW1, 1))
    return np.minimum(np.rint(divided), most).astype(values_HWC.dtype)
