"""Pillow's limit on pixels, raised or lowered while images are decoded.

The limit belongs to the whole process, whose threads may decode at once: the largest of their limits applies,
and at the end the old limit is restored.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from PIL import Image

NONE = 1 << 62  # for an image that has been measured already

_lock = Lock()
_limits: list[int] = []  # of the images that are being decoded
_usual: int | None = None


@contextmanager
def pillow_limit(pixels: int) -> Iterator[None]:
    """Inside the block Pillow warns of images of more pixels; it refuses those of over twice as many."""
    global _usual
    with _lock:
        if not _limits:
            _usual = Image.MAX_IMAGE_PIXELS
        _limits.append(pixels)
        Image.MAX_IMAGE_PIXELS = max(_limits)
    try:
        yield
    finally:
        with _lock:
            _limits.remove(pixels)
            Image.MAX_IMAGE_PIXELS = max(_limits) if _limits else _usual


def _forget() -> None:
    """A process that was forked decodes no image yet, whatever other threads decoded before the fork."""
    global _lock
    _lock = Lock()
    if _limits:
        _limits.clear()
        Image.MAX_IMAGE_PIXELS = _usual


os.register_at_fork(after_in_child=_forget)
