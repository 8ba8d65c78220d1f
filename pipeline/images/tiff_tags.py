"""The layout of a TIFF's pixels by its tags, read before Pillow decodes them (infra/adr/0013)."""

import io
import math
from dataclasses import dataclass
from typing import Any, BinaryIO

from PIL import Image
from PIL.TiffImagePlugin import COMPRESSION_INFO, ImageFileDirectory_v2

from pipeline.images.tiff_chain import pages

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, BANDS = 256, 257, 258, 259, 262, 277
PLANAR, PREDICTOR, EXTRA_SAMPLES, SAMPLE_FORMAT = 284, 317, 338, 339
STRIP_OFFSETS, TILE_OFFSETS = 273, 324
_SUBFILE_TYPE, _OLD_SUBFILE_TYPE, _SUB_IFDS, _INK_SET, _SUBSAMPLING = 254, 255, 330, 332, 530
_DNG_VERSION, _GDAL_NODATA = 50706, 42113

UNSIGNED, SIGNED, FLOAT = 1, 2, 3
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, SEPARATED, YCBCR, CFA, LINEAR_RAW = 0, 1, 2, 5, 6, 32803, 34892
UNCOMPRESSED, OLD_JPEG, JPEG = 1, 6, 7
PREMULTIPLIED = 1

_COLOURS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, 3: 1, SEPARATED: 4, YCBCR: 3, 8: 3}
_PREDICTING = frozenset({5, 8, 32946, 34925, 50000})  # LZW, deflate, LZMA, zstd
_OPTIONAL_CODECS = frozenset({"lzma", "zstd", "webp"})
_MOST_SUB_IFDS = 16
_MOST_TAG_BYTES = 64 << 20  # the tiles of 4 gigapixels need 1 MB
_FORMAT_NAMES = {UNSIGNED: "", SIGNED: "signed ", FLOAT: "float "}
_COMPRESSION_NAMES = {34887: " (LERC)", 33003: " (JPEG 2000)", 33005: " (JPEG 2000)", 34712: " (JPEG 2000)"}
_COMPRESSION_NAMES |= {34661: " (JBIG)", 50002: " (JPEG XL)", 52546: " (JPEG XL)", 34934: " (JPEG XR)"}


class UnreadLayoutError(ValueError):
    """The file may be intact, but we do not read its layout."""

    remedy = "save it as RGB or grey"


class UnchosenBandsError(UnreadLayoutError):
    """The file has more bands than are shown, and does not say which of them are colours."""

    remedy = "name the bands to show: --bands 3,2,1 as red, green and blue, or --bands 1 as grey"


@dataclass(frozen=True)
class TiffTags:
    """The tags of the first page that decide how its samples become pixels."""

    ifd: ImageFileDirectory_v2
    bits: tuple[int, ...]  # one number for each band
    sample_format: tuple[int, ...]  # each format that occurs, sorted
    photometric: int
    planar: int
    compression: int
    predictor: int
    extra: tuple[int, ...]

    @classmethod
    def of(cls, data: bytes) -> "TiffTags":
        """The tags of a file's first page. Raises: UnreadLayoutError; ValueError if they are out of reach."""
        return cls.of_file(io.BytesIO(data), len(data))

    @classmethod
    def of_file(cls, file: BinaryIO, size: int, offset: int | None = None) -> "TiffTags":
        """As `of`, for a seekable file of `size` bytes; reads the tags at `offset` if it is given."""
        head = file.read(16)
        if head.startswith(b"MM\0+"):
            raise UnreadLayoutError("a BigTIFF in big-endian byte order")
        ifd = ImageFileDirectory_v2(head if head[2] == 43 else head[:8])
        _load(ifd, file, size, offset or ifd.next)
        if ifd.next or _SUB_IFDS in ifd:
            _refuse_raw(ifd, file, size, head)
        if _DNG_VERSION in ifd or _one(ifd, PHOTOMETRIC, 0) in (CFA, LINEAR_RAW):
            raise UnreadLayoutError("the raw data of a camera")
        bits = _all(ifd, BITS, (1,))
        compression = _one(ifd, COMPRESSION, UNCOMPRESSED)
        photometric = _one(ifd, PHOTOMETRIC, WHITE_IS_ZERO)
        if compression == OLD_JPEG:
            photometric = YCBCR
        bands = _one(ifd, BANDS, 3 if compression == OLD_JPEG else 1)
        return cls(
            ifd,
            bits * bands if len(bits) == 1 and 0 < bands < 256 else bits[:bands],
            tuple(sorted(set(_all(ifd, SAMPLE_FORMAT, (UNSIGNED,))))),
            photometric,
            _one(ifd, PLANAR, 1),
            compression,
            _one(ifd, PREDICTOR, 1),
            _all(ifd, EXTRA_SAMPLES, ()),
        )

    def integers(self, tag: int) -> tuple[int, ...]:
        """The integers of a tag that the page must have. Raises: ValueError if it has none."""
        integers = _all(self.ifd, tag, ())
        if not integers:
            raise ValueError(f"its tag {tag} is missing or damaged")
        return integers

    @property
    def colours(self) -> int:
        """Bands that are colour, by the photometric interpretation; 0 if it is not known here."""
        return _COLOURS.get(self.photometric, 0)

    @property
    def is_compressed(self) -> bool:
        return self.compression != UNCOMPRESSED

    @property
    def has_predictor(self) -> bool:
        """Whether this compression uses the predictor."""
        return self.compression in _PREDICTING

    @property
    def is_codec_missing(self) -> bool:
        """Whether Pillow's libtiff was built without this compression: then it fails on a single pixel."""
        name = COMPRESSION_INFO.get(self.compression, "")
        if name not in _OPTIONAL_CODECS:
            return False
        file = io.BytesIO()
        try:
            Image.new("RGB", (1, 1)).save(file, "TIFF", compression=name)
            Image.open(file, formats=["TIFF"]).load()
        except Exception:  # noqa: BLE001  # any error means that the codec is missing
            return True
        return False

    @property
    def nodata(self) -> float | None:
        """The value that GDAL's tag says is no sample; None if there is none, or it is no number."""
        text: Any = self.ifd.get(_GDAL_NODATA)
        text = text.decode("latin-1") if isinstance(text, bytes) else str(text)
        try:
            nodata = float(text.strip(" \0"))
        except ValueError:
            return None
        return nodata if math.isfinite(nodata) else None  # NaN is no sample in any case

    def refuse_unread(self) -> None:
        """Raises: UnreadLayoutError if Pillow would read wrong pixels, or none."""
        if self.compression not in COMPRESSION_INFO:
            name = _COMPRESSION_NAMES.get(self.compression, "")
            raise UnreadLayoutError(f"Compression {self.compression}{name}")
        if not self.colours:
            raise UnreadLayoutError(f"PhotometricInterpretation {self.photometric}")
        if len(set(self.bits)) > 1:
            raise UnreadLayoutError(f"bands of different sizes (BitsPerSample {self.bits})")
        if len(self.sample_format) > 1:
            raise UnreadLayoutError(f"bands of different types (SampleFormat {self.sample_format})")
        if self.photometric == SEPARATED and _one(self.ifd, _INK_SET, 1) != 1:
            raise UnreadLayoutError("inks that are not CMYK (InkSet 2)")
        subsampling = _all(self.ifd, _SUBSAMPLING, (2, 2))
        if self.photometric == YCBCR and not self.is_compressed and subsampling != (1, 1):
            raise UnreadLayoutError(f"YCbCrSubSampling {subsampling} without compression")

    @property
    def last_byte(self) -> int:
        """Where the last strip or tile ends; 0 if the tags do not say."""
        ends = 0
        for offsets, counts in ((STRIP_OFFSETS, 279), (TILE_OFFSETS, 325)):
            pairs = zip(_all(self.ifd, offsets, ()), _all(self.ifd, counts, ()), strict=False)
            ends = max([ends, *(offset + count for offset, count in pairs)])
        return ends

    def pages(self, data: bytes) -> int:
        """How many pages the file has, as far as their chain is intact."""
        return max(1, sum(1 for _ in pages(io.BytesIO(data))))

    def described(self) -> str:
        """The layout in words, as in "4 bands of 16 bits (PhotometricInterpretation 1)"."""
        bands, bits = len(self.bits), self.bits[0] if self.bits else 0
        kind = _FORMAT_NAMES.get(self.sample_format[0], f"SampleFormat {self.sample_format[0]} ")
        tags = {"PhotometricInterpretation": self.photometric}
        tags |= {"PlanarConfiguration": self.planar} if self.planar != 1 else {}
        tags |= {"Predictor": self.predictor} if self.predictor != 1 else {}
        tags |= {"Compression": self.compression} if self.is_compressed else {}
        listed = ", ".join(f"{name} {value}" for name, value in tags.items())
        return f"{bands} {'band' if bands == 1 else 'bands'} of {kind}{bits} bits ({listed})"


def _load(ifd: ImageFileDirectory_v2, file: BinaryIO, size: int, offset: int) -> None:
    if offset + 2 > size:
        raise ValueError(f"the file is truncated: its tags are at byte {offset} of {size}")
    # As Pillow does for its own pages: tags may all name the same bytes.
    ifd._tag_data_limit = min(size, _MOST_TAG_BYTES)
    file.seek(offset)
    ifd.load(file)


def _refuse_raw(ifd: ImageFileDirectory_v2, file: BinaryIO, size: int, head: bytes) -> None:
    """Raises: UnreadLayoutError if the first page is the thumbnail of a raw photo or of a larger page."""
    if _is_reduced(ifd):
        raise UnreadLayoutError("a thumbnail as its first page (NewSubfileType 1), as camera raw files have")
    for offset in _all(ifd, _SUB_IFDS, ())[:_MOST_SUB_IFDS]:
        page = ImageFileDirectory_v2(head if head[2] == 43 else head[:8])
        try:
            _load(page, file, size, offset)
        except Exception:  # noqa: BLE001, S112  # this page is not decoded, so it may be broken
            continue
        if _one(page, PHOTOMETRIC, 0) in (CFA, LINEAR_RAW):
            raise UnreadLayoutError("the raw data of a camera in a page below its first (SubIFDs)")


def _is_reduced(ifd: ImageFileDirectory_v2) -> bool:
    return bool(_one(ifd, _SUBFILE_TYPE, 0) & 1) or _one(ifd, _OLD_SUBFILE_TYPE, 1) == 2


def _all(ifd: ImageFileDirectory_v2, tag: int, default: tuple[int, ...]) -> tuple[int, ...]:
    """A tag's integers; the default if it is missing or holds something else."""
    value: Any = ifd.get(tag, default)
    values = value if isinstance(value, tuple) else (value,)
    return values if all(isinstance(each, int) for each in values) else default


def _one(ifd: ImageFileDirectory_v2, tag: int, default: int) -> int:
    return next(iter(_all(ifd, tag, (default,))), default)
