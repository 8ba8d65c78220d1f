"""From files to images: by content, upright, or failed with the one right reason. Each file is made here."""

import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, features

from pipeline.errors import ImageError, Reason
from pipeline.images.decode import decoded_image
from pipeline.images.stored import EXIF_ORIENTATION
from pipeline.images.tiff_page import with_tags
from pipeline.pixel_reading import PixelReading

MOST_PIXELS = 1_000_000
rng = np.random.default_rng(7)
PHOTO_HW3 = rng.integers(0, 256, (48, 64, 3), np.uint8)


def encoded(name: str, image: Image.Image | None = None, **options: object) -> bytes:
    file = io.BytesIO()
    (image or Image.fromarray(PHOTO_HW3)).save(file, name, **options)
    return file.getvalue()


def reason_of(data: bytes) -> Reason:
    with pytest.raises(ImageError) as caught:
        decoded_image(data, MOST_PIXELS)
    assert str(caught.value), "every reason comes with a message"
    return caught.value.reason


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("BMP", {}),
    ],
)
def test_lossless_formats_keep_every_pixel(name: str, options: dict[str, object]) -> None:
    decoded = decoded_image(encoded(name, **options), MOST_PIXELS)
    np.testing.assert_array_equal(decoded.image_HW3, PHOTO_HW3)
    assert (decoded.exif_orientation, decoded.frames) == (1, 1)


def test_jpeg_is_pillows() -> None:
    data = encoded("JPEG")
    np.testing.assert_array_equal(
        decoded_image(data, MOST_PIXELS).image_HW3, np.asarray(Image.open(io.BytesIO(data)))
    )


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1)])
def test_the_smallest_images_decode(size: tuple[int, int]) -> None:
    decoded = decoded_image(encoded("PNG", Image.new("RGB", size)), MOST_PIXELS)
    assert decoded.image_HW3.shape == (size[1], size[0], 3)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(name: str, orientation: int) -> None:
    """A scene with four distinct corners, stored as a camera in each orientation stores it."""
    upright_HW3 = np.zeros((32, 64, 3), np.uint8)
    upright_HW3[:16, :32], upright_HW3[:16, 32:] = (255, 0, 0), (0, 255, 0)
    upright_HW3[16:, :32], upright_HW3[16:, 32:] = (0, 0, 255), (255, 255, 255)
    as_stored = {
        1: upright_HW3,
        2: upright_HW3[:, ::-1],
        3: upright_HW3[::-1, ::-1],
        4: upright_HW3[::-1],
        5: upright_HW3.transpose(1, 0, 2),
        6: np.rot90(upright_HW3, 1),
        7: upright_HW3[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright_HW3, -1),
    }[orientation]
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    options = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}}.get(name, {})
    data = encoded(name, Image.fromarray(np.ascontiguousarray(as_stored)), exif=exif, **options)
    decoded = decoded_image(data, MOST_PIXELS)
    assert decoded.exif_orientation == orientation
    np.testing.assert_allclose(decoded.image_HW3[8::16, 16::32], upright_HW3[8::16, 16::32], atol=12)


def test_broken_exif_does_not_cost_the_photo() -> None:
    decoded = decoded_image(encoded("JPEG", exif=b"Exif\0\0garbage" * 3), MOST_PIXELS)
    assert (decoded.image_HW3.shape, decoded.exif_orientation) == ((48, 64, 3), 1)


@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_of_several_frames(name: str) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "lime", "blue")]
    options = {"WEBP": {"lossless": True}}.get(name, {})
    data = encoded(name, frames[0], save_all=True, append_images=frames[1:], **options)
    decoded = decoded_image(data, MOST_PIXELS)
    assert (decoded.frames, decoded.image_HW3[0, 0].tolist()) == (3, [255, 0, 0])


def test_cmyk_jpeg() -> None:
    decoded = decoded_image(
        encoded("JPEG", Image.new("CMYK", (16, 16), (0, 255, 255, 0)), quality=95), MOST_PIXELS
    )
    np.testing.assert_allclose(decoded.image_HW3[8, 8], [255, 0, 0], atol=4)


def test_16_bit_png() -> None:
    data = encoded("PNG", Image.fromarray(np.full((4, 4), 25700, np.uint16)))
    assert decoded_image(data, MOST_PIXELS).image_HW3[0, 0].tolist() == [100, 100, 100]


def test_empty() -> None:
    assert reason_of(b"") is Reason.EMPTY


@pytest.mark.parametrize(
    "data", [b"<!doctype html>", b"hello", b"BM is how this text begins, by chance", b"\0" * 99]
)
def test_no_image(data: bytes) -> None:
    assert reason_of(data) is Reason.NOT_AN_IMAGE
    with pytest.raises(ImageError, match=r"begins with b"):
        decoded_image(data, MOST_PIXELS)


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\x18ftypmif1" + b"\0" * 40,
        b"8BPS\0\1",
        b"%!PS-Adobe-3.0 EPSF-3.0",
        b"\0\0\x01\0\x01\0",
        b"qoif....",
    ],
)
def test_image_formats_off_the_allow_list(data: bytes) -> None:
    assert reason_of(data) is Reason.UNSUPPORTED


def test_postscript_is_never_run() -> None:
    """Pillow would hand this to Ghostscript."""
    program = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    assert reason_of(program) is Reason.UNSUPPORTED


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9])
def test_cut_off(name: str, kept: float) -> None:
    data = encoded(name)
    assert reason_of(data[: int(len(data) * kept)]) is Reason.TRUNCATED


def test_corrupt() -> None:
    data = bytearray(encoded("PNG"))
    start = data.index(b"IDAT") + 4
    data[start : start + 30] = bytes(30)
    assert reason_of(bytes(data)) is Reason.CORRUPT


def test_the_programs_warnings_are_left_alone() -> None:
    """A filter would be the whole process's: threads that decode at once left it behind."""
    cut_off_tag = b"Exif\0\0II*\0\x08\0\0\0\x02\0" + struct.pack("<HHII", EXIF_ORIENTATION, 3, 1, 6)
    data = encoded("JPEG", exif=cut_off_tag)
    with pytest.warns(UserWarning, match="EXIF"):
        assert decoded_image(data, MOST_PIXELS).exif_orientation == 6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert reason_of(data) is Reason.CORRUPT  # and not an image that is not turned


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [(50_000, 50_000), (1001, 1000)])
def test_size_limit_is_read_from_the_header(size: tuple[int, int]) -> None:
    """The files have no pixels at all, so only the header can have been read."""
    bmp = (
        b"BM"
        + struct.pack("<IHHI", 54, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, *size, 1, 24, 0, 0, 0, 0, 0, 0)
    )
    assert reason_of(bmp) is Reason.TOO_LARGE


def test_pillow_has_its_own_limit_again() -> None:
    usual = Image.MAX_IMAGE_PIXELS
    with ThreadPoolExecutor(4) as threads:
        limits = [MOST_PIXELS + number for number in range(40)]
        list(
            threads.map(lambda limit: decoded_image(encoded("PNG", Image.new("L", (50, 50))), limit), limits)
        )
    with pytest.raises(ImageError):
        decoded_image(b"\x89PNG\r\n\x1a\n", MOST_PIXELS)
    assert usual == Image.MAX_IMAGE_PIXELS


def test_size_limit_covers_later_frames() -> None:
    frames = [Image.new("L", (8, 8), grey) for grey in (0, 255)]
    data = bytearray(encoded("GIF", frames[0], save_all=True, append_images=frames[1:], optimize=False))
    second = data.rindex(b",\0\0\0\0\x08\0\x08\0")
    data[second + 1 : second + 3] = struct.pack("<H", 100)
    assert decoded_image(bytes(data), 8 * 108, frame=1).image_HW3.shape == (8, 108, 3)
    with pytest.raises(ImageError) as caught:
        decoded_image(bytes(data), 8 * 107, frame=1)
    assert caught.value.reason is Reason.TOO_LARGE


@pytest.mark.filterwarnings("error")
def test_size_limit_is_inclusive() -> None:
    data = encoded("PNG", Image.new("L", (1000, 1000)))
    assert decoded_image(data, MOST_PIXELS).image_HW3.shape == (1000, 1000, 3)


@pytest.mark.parametrize("bands", ["I;16", "RGB", "RGBA", "LA"])
@pytest.mark.parametrize("is_interlaced", [False, True])
def test_all_16_bits_of_a_png_count(bands: str, is_interlaced: bool) -> None:
    """A narrow range in the low byte alone, which Pillow drops when it reads colour."""
    samples = {"I;16": 1, "LA": 2, "RGB": 3, "RGBA": 4}[bands]
    values_HWC = np.random.default_rng(2).integers(0, 200, (9, 13, samples), np.uint16)
    data = png_16(values_HWC, {1: 0, 2: 4, 3: 2, 4: 6}[samples], is_interlaced)
    colours = values_HWC[:, :, :3] if samples > 2 else values_HWC[:, :, :1]
    decoded = decoded_image(data, MOST_PIXELS, PixelReading("0:199"))
    expected = np.broadcast_to(np.rint(colours * (255 / 199)), (9, 13, 3))
    np.testing.assert_array_equal(decoded.image_HW3, expected)
    assert (decoded.pixel_scale, decoded.pixel_range) == ("0:199", f"{colours.min()}:{colours.max()}")


def png_16(values_HWC: np.ndarray, colour_type: int, is_interlaced: bool) -> bytes:
    """A PNG of 16 bits a sample, unfiltered, by its specification."""
    height, width = values_HWC.shape[:2]
    passes = [
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ]
    rows = [
        b"\0" + row.astype(">u2").tobytes()
        for left, top, across, down in (passes if is_interlaced else [(0, 0, 1, 1)])
        for row in values_HWC[top::down, left::across]
        if row.size
    ]
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, is_interlaced)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


@pytest.mark.parametrize(
    "metadata",
    [
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(3 << 20))),
        chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(3 << 20))),
        chunk(b"tEXt", b"Comment\0hello")[:-1] + b"!",
        chunk(b"pHYs", b"cut"),
    ],
)
def test_metadata_of_a_png_costs_neither_pixels_nor_orientation(metadata: bytes) -> None:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    data = encoded("PNG", exif=exif)
    at = data.index(b"IDAT") - 4
    decoded = decoded_image(data[:at] + metadata + data[at:], MOST_PIXELS)
    np.testing.assert_array_equal(decoded.image_HW3, np.rot90(PHOTO_HW3, -1))
    assert decoded.exif_orientation == 6


@pytest.mark.parametrize("layout", [{}, {"progressive": True}, {"restart_marker_blocks": 3}])
@pytest.mark.parametrize(
    "behind", [b"", bytes(3), bytes(9000), b"\xff" * 100, b"hello " * 2000, b"\xff\xc4\0"]
)
def test_a_jpeg_without_its_end_marker(layout: dict[str, object], behind: bytes) -> None:
    data = encoded("JPEG", **layout)
    assert data.endswith(b"\xff\xd9")
    decoded = decoded_image(data[:-2] + behind, MOST_PIXELS)
    np.testing.assert_array_equal(decoded.image_HW3, decoded_image(data, MOST_PIXELS).image_HW3)


@pytest.mark.parametrize("layout", [{}, {"progressive": True}, {"restart_marker_blocks": 3}])
@pytest.mark.parametrize("behind", [b"", bytes(9000)])
def test_a_jpeg_that_lacks_pixels_is_truncated(layout: dict[str, object], behind: bytes) -> None:
    data = encoded("JPEG", **layout)
    for missing in (8, 9, 10, 40, 200, 1000, len(data) // 2):
        assert reason_of(data[:-missing] + behind) is Reason.TRUNCATED


@pytest.mark.parametrize("largest", [1, 100, 254, 255, 1023, 4095, 65535])
@pytest.mark.parametrize("magic", ["P2", "P3", "P5", "P6"])
def test_netpbm_is_scaled_by_its_largest_value(magic: str, largest: int) -> None:
    bands = 3 if magic in ("P3", "P6") else 1
    values_HWC = np.random.default_rng(largest).integers(0, largest, (5, 7, bands), endpoint=True)
    header = f"{magic}\n# a comment\n7 5\n{largest}\n".encode()
    if magic in ("P2", "P3"):
        body = "\n".join(" ".join(map(str, row.ravel())) for row in values_HWC).encode()
    else:
        body = values_HWC.astype(">u2" if largest > 255 else "u1").tobytes()
    decoded = decoded_image(header + body, MOST_PIXELS)
    expected = np.broadcast_to(np.rint(values_HWC * (255 / largest)), (5, 7, 3))
    np.testing.assert_array_equal(decoded.image_HW3, expected)
    assert decoded.pixel_scale == (f"0:{largest}" if largest > 255 else None)
    assert reason_of((header + body)[:-9]) is Reason.TRUNCATED


def test_pbm() -> None:
    decoded = decoded_image(b"P4 3 2\n\xa0\x40", MOST_PIXELS)
    assert decoded.image_HW3[:, :, 0].tolist() == [[0, 255, 0], [255, 0, 255]]
    assert decoded_image(b"P1 3 2\n101\n010", MOST_PIXELS).image_HW3[0, 0, 0] == 0


def test_avif_is_decoded_if_pillow_can() -> None:
    assert features.check("avif"), "Pillow's own packages have it"
    decoded = decoded_image(encoded("AVIF", quality=100, subsampling="4:4:4"), MOST_PIXELS)
    assert np.abs(decoded.image_HW3.astype(int) - PHOTO_HW3).mean() < 3
    assert reason_of(encoded("AVIF")[:-100]) is Reason.TRUNCATED


@pytest.mark.parametrize("brand", ["heic", "heix", "hevc", "heim", "heis", "heif", "mif1", "mif2", "miaf"])
def test_phones_photos_are_images(brand: str) -> None:
    data = b"\0\0\0\x18ftyp" + brand.encode() + b"\0\0\0\0mif1heic" + bytes(200)
    assert reason_of(data) is Reason.CORRUPT, "known, and without a picture in it"


@pytest.mark.parametrize(
    ("tags", "named"),
    [
        ({50706: b"\1\4\0\0"}, "camera"),
        ({262: (32803,)}, "camera"),
        ({254: (1,), 330: (8,)}, "NewSubfileType"),
        ({259: (34887,)}, "LERC"),
        ({258: (8, 8, 16), 277: (3,), 262: (2,)}, "BitsPerSample"),
        ({339: (5,)}, "SampleFormat 5"),
        ({262: (32844,)}, "PhotometricInterpretation 32844"),
        ({262: (5,), 277: (4,), 258: (8,) * 4, 332: (2,)}, "InkSet"),
    ],
)
def test_tags_that_are_not_honoured_are_named(tags: dict[int, tuple[int, ...] | bytes], named: str) -> None:
    page = {256: (2,), 257: (2,), 258: (8,), 259: (1,), 262: (1,), 273: (8,), 277: (1,), 278: (2,), 279: (4,)}
    data = with_tags(b"II*\0" + bytes(4) + b"\1\2\3\4" * 4, page | tags)
    assert reason_of(data) is Reason.UNSUPPORTED
    with pytest.raises(ImageError, match=named):
        decoded_image(data, MOST_PIXELS)


def test_a_raw_photo_is_not_labelled_on_its_thumbnail() -> None:
    """Like the files of Nikon and Sony: first a small picture, below it a page with the sensor's data."""
    small = {
        256: (2,),
        257: (2,),
        258: (8,),
        259: (1,),
        262: (1,),
        273: (8,),
        277: (1,),
        278: (2,),
        279: (4,),
    }
    sensor = with_tags(
        b"II*\0" + bytes(4) + b"\1\2\3\4", {256: (200,), 257: (200,), 262: (32803,), 258: (16,)}
    )
    (place,) = struct.unpack_from("<I", sensor, 4)
    assert reason_of(with_tags(sensor, small | {330: (place,)})) is Reason.UNSUPPORTED
    assert decoded_image(with_tags(sensor, small), MOST_PIXELS).image_HW3.shape == (2, 2, 3)


@pytest.mark.parametrize("nodata", ["-9999", "nan", "-3.4028234663852886e+38", " 0 "])
def test_nodata_is_black_and_out_of_the_range(nodata: str) -> None:
    values_HW = np.array([[float(nodata), 200, 240, 300]], "<f4")
    page = {
        256: (4,),
        257: (1,),
        258: (32,),
        259: (1,),
        262: (1,),
        273: (8,),
        277: (1,),
        278: (1,),
        279: (16,),
    }
    tags = page | {339: (3,), 42113: nodata.encode() + b"\0"}
    decoded = decoded_image(with_tags(b"II*\0" + bytes(4) + values_HW.tobytes(), tags), MOST_PIXELS)
    assert decoded.image_HW3[0, :, 0].tolist() == [0, 0, 102, 255]
    assert decoded.pixel_scale == decoded.pixel_range == "200:300"


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF"])
def test_equal_files_give_equal_messages(name: str) -> None:
    """No message holds an object's address: equal runs give equal rows."""
    data = encoded(name)
    broken = [data[:60], data[:20] + bytes(len(data) - 20), data[:40] + b"\xff" * 60 + data[100:]]
    for file in broken:
        messages = set()
        for _ in range(2):
            try:
                decoded_image(file, MOST_PIXELS)
            except ImageError as fault:
                messages.add(str(fault))
        assert len(messages) <= 1
        assert not any("0x" in message for message in messages)
