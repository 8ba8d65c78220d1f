"""The pixels of every Pillow mode as RGB, against values computed by hand."""

import numpy as np
import pytest
from PIL import Image

from pipeline.images.rgb import UnknownModeError, rgb_image


def palette_image(transparency: bytes | int | None, mode: str = "P") -> Image.Image:
    image = Image.new(mode, (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([0, 1] if mode == "P" else [(0, 255), (1, 0)])
    if transparency is not None:
        image.info["transparency"] = transparency
    return image


def pixels(mode: str, values: list[object]) -> Image.Image:
    image = Image.new(mode, (len(values), 1))
    image.putdata(values)
    return image


CASES = {
    "RGB": (pixels("RGB", [(1, 2, 3), (250, 251, 252)]), [[1, 2, 3], [250, 251, 252]]),
    "1": (pixels("1", [0, 255]), [[0, 0, 0], [255, 255, 255]]),
    "L": (pixels("L", [0, 77]), [[0, 0, 0], [77, 77, 77]]),
    "LA drops alpha": (pixels("LA", [(9, 0), (77, 255)]), [[9, 9, 9], [77, 77, 77]]),
    "RGBA drops alpha": (pixels("RGBA", [(9, 8, 7, 0), (1, 2, 3, 128)]), [[9, 8, 7], [1, 2, 3]]),
    "RGBX": (pixels("RGBX", [(9, 8, 7, 0), (1, 2, 3, 4)]), [[9, 8, 7], [1, 2, 3]]),
    "RGBa": (pixels("RGBa", [(64, 32, 16, 128), (1, 2, 3, 255)]), [[127, 63, 31], [1, 2, 3]]),
    "La": (pixels("La", [(64, 128), (7, 255)]), [[127, 127, 127], [7, 7, 7]]),
    "P": (palette_image(None), [[10, 20, 30], [200, 100, 50]]),
    "P with a transparent colour": (palette_image(1), [[10, 20, 30], [200, 100, 50]]),
    "P with an alpha table": (palette_image(b"\x00\x80"), [[10, 20, 30], [200, 100, 50]]),
    "PA": (palette_image(None, "PA"), [[10, 20, 30], [200, 100, 50]]),
    "CMYK": (pixels("CMYK", [(0, 0, 0, 0), (255, 0, 0, 0)]), [[255, 255, 255], [0, 255, 255]]),
    "YCbCr": (pixels("YCbCr", [(128, 128, 128), (255, 128, 128)]), [[128, 128, 128], [255, 255, 255]]),
    "HSV": (pixels("HSV", [(0, 0, 50), (0, 255, 255)]), [[50, 50, 50], [255, 0, 0]]),
    "LAB": (pixels("LAB", [(128, 128, 128), (138, 209, 198)]), [[119, 119, 119], [251, 5, 4]]),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", CASES)
def test_pixels_of_a_mode(name: str) -> None:
    image, expected = CASES[name]
    converted = rgb_image(image)
    assert converted.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(converted)[0], expected)


def test_every_mode_of_8_bits_has_a_rule() -> None:
    modes = "1 CMYK HSV L LA LAB La P PA RGB RGBA RGBX RGBa YCbCr"
    for mode in modes.split(" "):
        assert rgb_image(Image.new(mode, (2, 3))).size == (2, 3)


def test_a_mode_without_a_rule_says_so() -> None:
    image = Image.new("RGB", (1, 1))
    image._mode = "BGR;15"  # Pillow makes none of these any more
    with pytest.raises(UnknownModeError, match="BGR;15"):
        rgb_image(image)
