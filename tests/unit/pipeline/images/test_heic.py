"""HEIC, written by pillow-heif's encoder: upright pixels, or the one right reason; also in decoders."""

import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from heic import deep_heic, heic, lossless_heic
from PIL import Image

from pipeline.errors import ImageError, Reason
from pipeline.images.decode import decoded_image
from pipeline.images.decode_pool import DecodeLimits, DecodePool
from pipeline.images.header import stored_size
from pipeline.images.stored import EXIF_ORIENTATION
from pipeline.pixel_reading import PixelReading

MOST_PIXELS = 64 * 48
RNG = np.random.default_rng(3)
PHOTO_HW3 = RNG.integers(0, 256, (48, 64, 3), np.uint8)
PHOTO = Image.fromarray(PHOTO_HW3)
# In NumPy: how a decoder that turns images itself turns each orientation.
TURNED = {
    1: PHOTO_HW3,
    2: PHOTO_HW3[:, ::-1],
    3: PHOTO_HW3[::-1, ::-1],
    4: PHOTO_HW3[::-1],
    5: PHOTO_HW3.transpose(1, 0, 2),
    6: np.rot90(PHOTO_HW3, -1),
    7: PHOTO_HW3[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(PHOTO_HW3, 1),
}


@pytest.fixture(scope="module")
def decoders() -> Iterator[DecodePool]:
    pool = DecodePool(1, DecodeLimits(MOST_PIXELS, timeout_s=20))
    yield pool
    pool.close()


def fault_of(data: bytes, most_pixels: int = MOST_PIXELS) -> ImageError:
    with pytest.raises(ImageError) as caught:
        decoded_image(data, most_pixels)
    return caught.value


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_turned_once(orientation: int) -> None:
    """libheif applies the file's own transformations, and the EXIF orientation beside them is ignored."""
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    data = lossless_heic(PHOTO_HW3, exif.tobytes())
    decoded = decoded_image(data, MOST_PIXELS)
    np.testing.assert_array_equal(decoded.image_HW3, TURNED[orientation])
    assert (decoded.exif_orientation, decoded.frames) == (1, 1), "nothing is left to turn for who loads it"
    height, width, _ = TURNED[orientation].shape
    assert stored_size(data) == (width, height)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA"])
def test_grey_and_alpha(mode: str) -> None:
    image = PHOTO.convert(mode)
    if "A" in mode:
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    decoded = decoded_image(heic(image, quality=-1, chroma=444), MOST_PIXELS)
    expected = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(decoded.image_HW3 - expected).max() <= 3, "colours of YCbCr are rounded"


@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("shape", [(48, 64), (48, 64, 3), (48, 64, 4)])
def test_10_and_12_bits_are_scaled_as_asked(decoders: DecodePool, bits: int, shape: tuple[int, ...]) -> None:
    values = RNG.integers(100, 900, shape).astype(np.uint16)
    data, largest = deep_heic(values, bits), 2**bits - 1
    colours = values[:, :, :3] if len(shape) == 3 else np.repeat(values[:, :, None], 3, axis=2)
    for scale, low, high in (("full", 0, largest), ("200:800", 200, 800)):
        decoded = decoders.decode(data, reading=PixelReading(scale))
        expected = np.rint((colours.clip(low, high) - low) * (255 / (high - low)))
        np.testing.assert_array_equal(decoded.image_HW3, expected)
        assert decoded.pixel_scale == f"{low}:{high}"
        assert decoded.pixel_range == f"{colours.min()}:{colours.max()}"


def test_several_images() -> None:
    other = PHOTO.rotate(90, expand=True)
    data = heic(PHOTO, other, PHOTO.convert("L"), primary_index=1, thumbnails=[16])
    shown = decoded_image(data, MOST_PIXELS)
    assert (shown.image_HW3.shape, shown.frames) == ((64, 48, 3), 3), "as viewers show it"
    shapes = [decoded_image(data, MOST_PIXELS, frame=frame).image_HW3.shape for frame in range(3)]
    assert shapes == [(48, 64, 3), (64, 48, 3), (48, 64, 3)]
    with pytest.raises(ImageError, match="no frame 3"):
        decoded_image(data, MOST_PIXELS, frame=3)


@pytest.mark.parametrize("kept", [0.03, 0.1, 0.5, 0.99])
def test_cut_off(kept: float) -> None:
    data = heic(PHOTO)
    assert fault_of(data[: int(len(data) * kept)]).reason is Reason.TRUNCATED


def test_damaged(decoders: DecodePool) -> None:
    data = heic(PHOTO)
    assert fault_of(data.replace(b"pitm", b"none")).reason is Reason.CORRUPT
    picture = data.index(b"mdat") + 4
    broken = data[:picture] + bytes(len(data) - picture)
    with pytest.raises(ImageError) as caught:
        decoders.decode(broken)
    assert caught.value.reason in (Reason.CORRUPT, Reason.TRUNCATED)
    assert decoders.decode(heic(PHOTO)).image_HW3.shape == (48, 64, 3), "its neighbour is unharmed"


def test_a_bomb_is_refused_by_its_header_and_by_what_it_hides(decoders: DecodePool) -> None:
    data = heic(Image.new("RGB", (1024, 1024)), quality=1)
    assert "1024 x 1024" in str(fault_of(data[: data.index(b"mdat") + 100].ljust(len(data), b"\0")))
    side = (1024).to_bytes(4, "big")
    assert data.count(b"ispe" + bytes(4) + side + side) == 1
    hidden = data.replace(b"ispe" + bytes(4) + side + side, b"ispe" + bytes(4) + (48).to_bytes(4, "big") * 2)
    with pytest.raises(ImageError) as caught:
        decoders.decode(hidden)
    assert caught.value.reason is Reason.TOO_LARGE


def test_without_its_package_the_row_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['pillow_heif'] = None; from pipeline.images.decode import decoded_image;"
        "decoded_image(sys.stdin.buffer.read(), 1 << 20)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], input=heic(PHOTO), capture_output=True, check=False, timeout=60
    )
    assert b"ImageError: HEIC needs a package that is not installed; install it: pip" in ended.stderr
    assert b"'sam-label[heic]'" in ended.stderr
