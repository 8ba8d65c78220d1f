"""The colour of each mask, by its position among the masks of an image: the same in every picture and page.

Each hue is the golden angle away from the one before. So masks of neighbouring positions never look alike,
and any number of hues spread evenly over the circle. After 8 or 13 steps a hue nearly comes back, but with
another lightness. Hue and lightness are those of OKLCH, where equal steps look equal; with HSV a third of all
hues would be one green.

Source: B. Ottosson, "A perceptual color space for image processing" (2020), for the two matrices of OKLab.
"""

import numpy as np
from numpy.typing import NDArray

_GOLDEN_TURN = (3 - 5**0.5) / 2  # of a circle: about 137.5 degrees
_LIGHTNESS = (0.54, 0.86)  # visible on black and on white
_LIGHTNESS_TURN = 2**0.5 - 1  # of that range a step; far from whole numbers after 8 and 13 steps
_CHROMA = 0.19  # for some hues more than sRGB has: they are clipped. With less, colours are pale on a photo
_LMS_OF_LAB = np.array(
    [
        [1.0, 0.3963377774, 0.2158037573],
        [1.0, -0.1055613458, -0.0638541728],
        [1.0, -0.0894841775, -1.2914855480],
    ]
)
_RGB_OF_LMS = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def colours(count: int) -> NDArray[np.uint8]:
    """The colours of the first `count` masks, sRGB; uint8 [count, 3]."""
    place_N = np.arange(count)
    hue_N = place_N * _GOLDEN_TURN * 2 * np.pi
    lightness_N = _LIGHTNESS[0] + place_N * _LIGHTNESS_TURN % 1 * (_LIGHTNESS[1] - _LIGHTNESS[0])
    lab_N3 = np.stack([lightness_N, _CHROMA * np.cos(hue_N), _CHROMA * np.sin(hue_N)], axis=1)
    light_N3 = np.clip((lab_N3 @ _LMS_OF_LAB.T) ** 3 @ _RGB_OF_LMS.T, 0, 1)
    curved_N3 = np.where(light_N3 <= 0.0031308, 12.92 * light_N3, 1.055 * light_N3 ** (1 / 2.4) - 0.055)
    rgb_N3: NDArray[np.uint8] = np.rint(curved_N3 * 255).astype(np.uint8)
    return rgb_N3


def css_colours(count: int) -> list[str]:
    """The same colours for a page, as `#e0563c`."""
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in colours(count).tolist()]
