"""The formats that need the most memory, in a decoder with little: an image, or a typed failure."""

import io
import subprocess
import sys
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


def test_a_decoder_keeps_a_lower_limit_that_the_system_has_set() -> None:
    limits = DecodeLimits(1 << 26, timeout_s=60)
    limited = f"""
import resource
resource.setrlimit(resource.RLIMIT_AS, ({limits.memory_bytes - 1}, {limits.memory_bytes - 1}))
from pipeline.images.decode_pool import DecodeLimits, DecodePool
print(DecodePool(1, DecodeLimits({limits.max_pixels}, 60)).decode({jpeg_2000("RGB")!r}).image_HW3.shape)
"""
    done = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True, check=False)
    assert done.stdout == f"({SIDE}, {SIDE}, 3)\n", done.stderr
