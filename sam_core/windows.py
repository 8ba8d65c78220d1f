"""Images that are read window by window, because they are too large to hold in memory."""

from typing import Protocol, runtime_checkable

from sam_core.masks.crops import XYXY
from sam_core.model.rgb_image import RgbImage, checked_image


@runtime_checkable
class Windows(Protocol):
    """An image of which any window can be read."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and 3."""

    def window(self, xyxy: XYXY) -> RgbImage:
        """The pixels from x0, y0 to x1, y1, both excluded: uint8 RGB [y1 - y0, x1 - x0, 3]."""


def checked_pixels(image: object) -> RgbImage | Windows:
    """The image itself. Raises: ValueError if it is neither an RGB array nor read by windows."""
    return image if isinstance(image, Windows) else checked_image(image)


def window_of(image: RgbImage | Windows, xyxy: XYXY) -> RgbImage:
    """The pixels of one window of the image."""
    if isinstance(image, Windows):
        return checked_image(image.window(xyxy))
    x0, y0, x1, y1 = xyxy
    return image[y0:y1, x0:x1]
