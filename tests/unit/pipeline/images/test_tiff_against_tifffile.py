"""TIFFs of all layouts, written by tifffile: our pixels equal its array's, or the file is UNSUPPORTED."""

import io
import zlib
from collections.abc import Iterator
from itertools import islice, product
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from pipeline.errors import ImageError, Reason
from pipeline.images.decode import decoded_image
from pipeline.images.tiff_page import with_tags

HEIGHT, WIDTH = 36, 45  # no multiple of a tile's 16
EVERY = 29  # of 3,168 layouts for each of 11 types; in one trial every third passed, which took nine minutes
COMPRESSIONS = (None, "lzw", "zlib", "packbits", "zstd", "lzma", "deflate")
BANDS = (  # photometric interpretation, bands, extra samples
    ("minisblack", 1, None),
    ("miniswhite", 1, None),
    ("minisblack", 2, ["unassalpha"]),
    ("minisblack", 2, ["assocalpha"]),
    ("minisblack", 3, ["unspecified"] * 2),
    ("minisblack", 4, ["unspecified"] * 3),
    ("rgb", 3, None),
    ("rgb", 4, ["unassalpha"]),
    ("rgb", 4, ["assocalpha"]),
    ("rgb", 4, ["unspecified"]),
    ("rgb", 6, ["unspecified"] * 3),
)


def picture(dtype: str, bands: int) -> np.ndarray:
    """A gradient with noise over most of the type's range; [H, W] or [H, W, bands]."""
    rng = np.random.default_rng(5)
    ramp_HW1 = np.linspace(0.05, 0.8, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH, 1)
    unit = np.clip(ramp_HW1 + rng.random((HEIGHT, WIDTH, bands)) * 0.15, 0, 1)
    if np.dtype(dtype).kind == "f":
        values = (unit * 100 - 20).astype(dtype)
    else:
        limits = np.iinfo(dtype)
        values = (limits.min + unit * (float(limits.max) - float(limits.min))).astype(dtype)
    return values[:, :, 0] if bands == 1 else values


def written(array: np.ndarray, bands: int = 0, **layout: Any) -> bytes | None:
    """The file; None if tifffile does not write such a file."""
    planes = (
        np.moveaxis(array, 2, 0) if layout.get("planarconfig") == "separate" and array.ndim == 3 else array
    )
    file = io.BytesIO()
    try:
        tifffile.imwrite(file, planes, metadata=None, **layout)
    except Exception:  # noqa: BLE001  # it raises anything for what a compression cannot hold
        return None
    return file.getvalue()


def expected(data: bytes) -> np.ndarray:
    """tifffile's array as uint8 [H, W, 3], by the documented rules."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        values = page.asarray()
        if page.planarconfig == 2 and values.ndim == 3:
            values = np.moveaxis(values, 0, 2)
        bits, photometric, extra = page.bitspersample, int(page.photometric), page.extrasamples
    values = values[:, :, None] if values.ndim == 2 else values
    colours = 3 if photometric in (2, 6) else 1
    if extra and int(extra[0]) == 1:  # premultiplied
        most = float((1 << bits) - 1)
        values = np.minimum(
            np.rint(values[..., :colours] * (most / np.maximum(values[..., colours:][..., :1], 1))), most
        )
    else:
        values = values[..., :colours].astype(np.longdouble)
    kind = page.dtype.kind
    if kind in "ub" and bits <= 16:
        low, high = 0, (1 << bits) - 1
    elif kind == "i" and bits == 8:
        low, high = -128, 127
    else:
        low, high = values.min(), values.max()
    grey = np.rint((values.astype(np.longdouble) - low) * 255 / (high - low))
    return np.broadcast_to(255 - grey if photometric == 0 else grey, (*grey.shape[:2], 3)).astype(np.uint8)


def outcome(data: bytes, tolerance: int) -> str:
    """ "right", UNSUPPORTED if the tag is named, or a description of the error."""
    try:
        ours = decoded_image(data, 10**6).image_HW3
    except ImageError as fault:
        is_named = any(word in str(fault) for word in ("bits", "Compression", "BigTIFF", "bands"))
        return fault.reason if fault.reason is Reason.UNSUPPORTED and is_named else f"{fault.reason}: {fault}"
    off = int(np.abs(ours.astype(int) - expected(data)).max())
    return "right" if off <= tolerance else f"off by {off}"


def layouts() -> Iterator[dict[str, Any]]:
    """Strips and tiles in both byte orders, in TIFFs and BigTIFFs."""
    shapes: tuple[dict[str, Any], ...] = ({}, {"tile": (16, 32)}, {"rowsperstrip": 5})
    for shape, order, is_big in product(shapes, "<>", (False, True)):
        yield {**shape, "byteorder": order, "bigtiff": is_big}


def all_options() -> Iterator[dict[str, Any]]:
    """All options with which tifffile writes each type."""
    for (photometric, bands, extra), compression in product(BANDS, COMPRESSIONS):
        predictors = (None,) if compression in (None, "packbits") else (None, 2, 3)
        for planar, predictor, layout in product(("contig", "separate"), predictors, layouts()):
            kind = {"photometric": photometric, "extrasamples": extra}
            kind |= {"planarconfig": planar if bands > 1 else None}
            yield {"bands": bands, **kind, "compression": compression, "predictor": predictor, **layout}


def may_be_unsupported(dtype: str, options: dict[str, Any]) -> bool:
    """Whether a file with these options may be UNSUPPORTED."""
    is_premultiplied = options["extrasamples"] == ["assocalpha"] and dtype not in ("u1", "u2")
    has_other_bands = options["photometric"] == "minisblack" and options["bands"] > 2
    is_wrong_predictor = options["predictor"] == 3 and dtype[0] != "f"
    is_big_endian_big_tiff = options["bigtiff"] and options["byteorder"] == ">"
    return is_premultiplied or has_other_bands or is_wrong_predictor or is_big_endian_big_tiff


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"])
def test_a_sample_of_all_layouts(dtype: str) -> None:
    outcomes = []
    for options in islice(all_options(), None, None, EVERY):
        data = written(picture(dtype, options["bands"]), **options)
        if data is not None:
            tolerance = 1 if options["extrasamples"] == ["assocalpha"] else 0
            outcomes.append((options, outcome(data, tolerance)))
    allowed = [
        {"right", Reason.UNSUPPORTED} if may_be_unsupported(dtype, o) else {"right"} for o, _ in outcomes
    ]
    assert [case for case, right in zip(outcomes, allowed, strict=True) if case[1] not in right] == []
    assert len(outcomes) > 50


@pytest.mark.parametrize("compression", ["jpeg", "webp", "lerc", "jpegxl", "jpeg2000", "png", "jpegxr"])
@pytest.mark.parametrize("photometric", ["minisblack", "rgb", "ycbcr"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_compressions_of_photos(compression: str, photometric: str, planar: str, dtype: str) -> None:
    array = picture(dtype, 1 if photometric == "minisblack" else 3)
    options = {"photometric": photometric, "compression": compression}
    data = written(array, **options, planarconfig=planar if array.ndim == 3 else None)
    if data is not None:
        assert outcome(data, tolerance=3) in ("right", Reason.UNSUPPORTED)


@pytest.mark.parametrize(
    "compression", ["raw", "group3", "group4", "tiff_ccitt", "packbits", "tiff_lzw", "zstd"]
)
def test_bilevel(compression: str) -> None:
    bilevel_HW = np.random.default_rng(3).random((HEIGHT, WIDTH)) < 0.5
    file = io.BytesIO()
    Image.fromarray(bilevel_HW).save(file, "TIFF", compression=compression)
    decoded_HW3 = decoded_image(file.getvalue(), 10**6).image_HW3
    np.testing.assert_array_equal(decoded_HW3, np.where(bilevel_HW, 255, 0)[:, :, None].repeat(3, 2))


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("planar", [1, 2])
@pytest.mark.parametrize("compression", [1, 8])
def test_few_bits(bits: int, photometric: int, planar: int, compression: int) -> None:
    """Packed by hand; one band in "separate planes" is simply one band."""
    values_HW = np.random.default_rng(bits).integers(0, 1 << bits, (HEIGHT, 48), np.uint8)
    bits_HB = np.unpackbits(values_HW[:, :, None], axis=2)[:, :, 8 - bits :].reshape(HEIGHT, -1)
    data = packed_tiff(np.packbits(bits_HB, axis=1), 48, bits, photometric, planar, compression)
    grey_HW = np.rint(values_HW * (255 / ((1 << bits) - 1)))
    decoded_HW3 = decoded_image(data, 10**6).image_HW3
    np.testing.assert_array_equal(decoded_HW3[:, :, 0], 255 - grey_HW if photometric == 0 else grey_HW)


@pytest.mark.parametrize("width", [1, 2, 45])
@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("compression", [1, 8])
def test_12_bits_have_a_range_of_12_bits(width: int, photometric: int, compression: int) -> None:
    values_HW = np.random.default_rng(12).integers(0, 4096, (HEIGHT, width), np.uint16)
    bits_HB = np.unpackbits(values_HW.astype(">u2").view(np.uint8).reshape(HEIGHT, width, 2), axis=2)
    data = packed_tiff(
        np.packbits(bits_HB[:, :, 4:].reshape(HEIGHT, -1), axis=1), width, 12, photometric, 1, compression
    )
    decoded = decoded_image(data, 10**6)
    grey_HW = np.rint(values_HW * (255 / 4095))
    np.testing.assert_array_equal(decoded.image_HW3[:, :, 0], 255 - grey_HW if photometric == 0 else grey_HW)
    assert decoded.pixel_scale == "0:4095"


def packed_tiff(
    rows_HB: np.ndarray, width: int, bits: int, photometric: int, planar: int, compression: int
) -> bytes:
    """A TIFF of one strip with rows that are packed already."""
    strip = rows_HB.tobytes() if compression == 1 else zlib.compress(rows_HB.tobytes())
    tags = {256: width, 257: len(rows_HB), 258: bits, 259: compression, 262: photometric, 273: 8, 277: 1}
    tags |= {278: len(rows_HB), 279: len(strip), 284: planar}
    return with_tags(b"II*\0" + bytes(4) + strip, {tag: (value,) for tag, value in tags.items()})
