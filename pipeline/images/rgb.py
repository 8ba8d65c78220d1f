"""Any Pillow mode to 8-bit RGB, by rules that are written down, since masks are labels of these pixels.

- Alpha is dropped, not composited: the colours are those that `Image.convert("RGB")` gives to whoever
  trains.
- 16-bit grey is divided by 257: the full range of the type, the same for every image of a data set.
- 32-bit integers and floats have no natural range: each image's own finite minimum and maximum become 0 and
  255 (Pillow's `convert` would clip at 255), NaN and infinities below become 0, infinities above 255.
"""

import numpy as np
from PIL import Image, ImageCms

# One byte a channel already, so that Pillow's own conversion loses nothing.
_CONVERTED_BY_PILLOW = frozenset(
    {"1", "L", "LA", "La", "P", "PA", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"}
)


class UnknownModeError(ValueError):
    """The image's mode has no rule here."""


def rgb_image(image: Image.Image) -> Image.Image:
    """`image` as mode RGB, the same size; the image itself where it is RGB.

    Raises: UnknownModeError where no rule is written for the mode.
    """
    if image.mode == "RGB":
        return image
    if image.mode == "PA":  # Pillow has no direct way
        return image.convert("RGBA").convert("RGB")
    if image.mode in ("La", "RGBa"):  # premultiplied alpha is undone first
        return image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode]).convert("RGB")
    if image.mode in _CONVERTED_BY_PILLOW:
        return image.convert("RGB")
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
        if converted is not None:
            return converted
    if image.mode.startswith("I;16"):
        values_HW = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((values_HW + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        return Image.fromarray(stretched(np.asarray(image))).convert("RGB")
    raise UnknownModeError(f"pixel mode {image.mode} has no conversion to RGB")


def stretched(values_HW: np.ndarray) -> np.ndarray:
    """uint8 [H, W]: the finite minimum at 0, the finite maximum at 255; all 0 where they are equal."""
    values_HW = values_HW.astype(np.float64)
    finite_N = values_HW[np.isfinite(values_HW)]
    low, high = (float(finite_N.min()), float(finite_N.max())) if finite_N.size else (0.0, 0.0)
    values_HW = np.nan_to_num(values_HW, nan=low, posinf=high, neginf=low)
    scale = 255 / (high - low) if high > low else 0.0
    return np.rint((values_HW - low) * scale).astype(np.uint8)
