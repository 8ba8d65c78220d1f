"""Converts Pillow's modes of 8 bits a sample to RGB by fixed rules: masks are labels of these pixels.

Alpha is dropped, not composited: training code gets the same colours from `Image.convert("RGB")`.
`pipeline.images.scale` converts deeper samples.
"""

from PIL import Image, ImageCms

# One byte a channel already, so that Pillow's own conversion loses nothing.
_CONVERTED_BY_PILLOW = frozenset(
    {"1", "L", "LA", "La", "P", "PA", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"}
)


class UnknownModeError(ValueError):
    """The image's mode has no rule here."""


def rgb_image(image: Image.Image) -> Image.Image:
    """`image` as mode RGB, the same size; the image itself if it is RGB.

    Raises: UnknownModeError if no rule is written for the mode.
    """
    if image.mode == "RGB":
        return image
    if isinstance(image.info.get("transparency"), bytes):  # a palette's alpha: Pillow warns if it drops it
        image = image.copy()
        del image.info["transparency"]
    if image.mode == "PA":  # Pillow has no direct conversion
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
    raise UnknownModeError(f"pixel mode {image.mode} has no conversion to RGB")
