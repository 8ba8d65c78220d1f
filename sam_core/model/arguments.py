"""Checks sizes and numbers that come from callers; a wrong one raises a one-sentence error."""

from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[Any]  # of whole numbers, floats or bools


def in_words(value: object) -> str:
    """A value for a message: itself if it is plain, cut to 60 characters; else its type, with any shape."""
    if value is None or isinstance(value, str | bytes | int | float | list | tuple):
        return " ".join(f"{value!r:.60}".split())
    shape = getattr(value, "shape", None)
    return f"a {type(value).__name__}" if shape is None else f"{type(value).__name__} {list(shape)}"


def whole_side(value: Any) -> int | None:
    """The length of a side, a whole number of at least 1 (3 or 3.0); None for anything else."""
    try:
        number = int(value)
        return number if number == value and number >= 1 else None
    except (TypeError, ValueError, OverflowError, RuntimeError):  # the last for tensors of several values
        return None


def checked_size(size: Any, name: str) -> tuple[int, int]:
    """(height, width). Raises: ValueError if it is not two whole numbers of at least 1."""
    try:
        height, width = map(whole_side, size)
    except (TypeError, ValueError):
        height = width = None
    if height is None or width is None:
        raise ValueError(
            f"{name} is (height, width), two whole numbers of at least 1, got {in_words(size)}; "
            "pass image.shape[:2]"
        )
    return height, width


def checked_numbers(values: Any, expected: str) -> Numbers:
    """The values as an array. Raises: ValueError for text, ragged lists, and tensors that numpy cannot read.

    expected: the description of the values with which the message begins.
    """
    try:
        array = np.asarray(values)
        return array if array.dtype.kind in "biuf" else array.astype(np.float64)
    except (TypeError, ValueError, RuntimeError):
        advice = "; pass .detach().float().cpu().numpy() of it" if hasattr(values, "detach") else ""
        raise ValueError(f"{expected}, got {in_words(values)}{advice}") from None


def checked_coords(coords: Any, expected: str = "coordinates are numbers [..., 2], x and y") -> Numbers:
    """The coordinates as an array. Raises: ValueError if they are not numbers [..., 2]."""
    array = checked_numbers(coords, expected)
    if array.shape[-1:] != (2,):
        raise ValueError(f"{expected}, got {in_words(array)}")
    return array


def refuse_no_boxes(shape: tuple[int, ...], expected: str = "boxes are numbers [B, 4], XYXY") -> None:
    """Raises: ValueError for a shape that does not end in boxes: 4 numbers, or two corners of 2.

    An empty array holds no boxes and is accepted.
    """
    if shape[-1:] != (4,) and shape[-2:] != (2, 2) and 0 not in shape:
        raise ValueError(f"{expected}, got {list(shape)}")
