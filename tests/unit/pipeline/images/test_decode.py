"""Files to images: by content, upright, or the one right reason. Each file is made here."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import ImageError, Reason
from pipeline.images.decode import EXIF_ORIENTATION, decoded_image

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
    """A scene with four distinct corners, stored as a camera held in each way stores it."""
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
        b"\0\0\0\x18ftypheic" + b"\0" * 40,
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


@pytest.mark.parametrize("size", [(50_000, 50_000), (1001, 1000)])
def test_size_limit_is_read_from_the_header(size: tuple[int, int]) -> None:
    """The files have no pixels at all: only the header can have been read."""
    bmp = (
        b"BM"
        + struct.pack("<IHHI", 54, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, *size, 1, 24, 0, 0, 0, 0, 0, 0)
    )
    assert reason_of(bmp) is Reason.TOO_LARGE


def test_size_limit_is_inclusive() -> None:
    data = encoded("PNG", Image.new("L", (1000, 1000)))
    assert decoded_image(data, MOST_PIXELS).image_HW3.shape == (1000, 1000, 3)
