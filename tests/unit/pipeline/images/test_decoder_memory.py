"""The formats that need the most memory, in a decoder with little: an image, or a typed failure."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from heic import deep_heic
from PIL import Image

from pipeline.errors import ImageError, Reason
from pipeline.images import decode_pool
from pipeline.images.decode_pool import BYTES_A_PIXEL, DecodeLimits, DecodePool

SIDE = 2000
# An idle decoder takes 150 MB of addresses and libheif 30: BASE_BYTES has room for that many times.
IDLE_BYTES = 220 << 20
TIGHT_BYTES = 195 << 20  # in all: enough for an idle decoder, but not for such an image


def jpeg_2000(mode: str) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (SIDE, SIDE), "red").save(file, "JPEG2000")
    return file.getvalue()


FILES: dict[str, Callable[[], bytes]] = {
    "JPEG 2000 RGB": lambda: jpeg_2000("RGB"),
    "JPEG 2000 RGBA": lambda: jpeg_2000("RGBA"),
    "HEIC of 10 bits": lambda: deep_heic(np.full((SIDE, SIDE, 3), 99, np.uint16), 10),
}


@pytest.mark.parametrize("name", FILES)
def test_it_fits_or_says_what_to_do(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data, limits = FILES[name](), DecodeLimits(SIDE * SIDE, timeout_s=60)

    def with_bytes(base: int) -> DecodePool:
        monkeypatch.setattr(decode_pool, "BASE_BYTES", base)
        return DecodePool(1, limits)

    decoders = with_bytes(IDLE_BYTES)
    assert decoders.decode(data).image_HW3.shape == (SIDE, SIDE, 3)
    decoders.close()
    decoders = with_bytes(TIGHT_BYTES - BYTES_A_PIXEL * SIDE * SIDE)
    with pytest.raises(ImageError) as caught:
        decoders.decode(data)
    decoders.close()
    assert caught.value.reason is Reason.TOO_LARGE
    assert "raise max_image_pixels" in str(caught.value)
