"""Converts numbers, sizes and positions from callers to Python's and numpy's own, or raises a clear error."""

from collections.abc import Mapping, Sequence, Set
from operator import index as as_index
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

Positions: TypeAlias = Sequence[int] | Sequence[bool] | slice | npt.NDArray[np.int64] | npt.NDArray[np.bool_]
Numbers: TypeAlias = npt.NDArray[Any]  # of whole numbers, floats or bools


def in_words(value: object) -> str:
    """A value for a message: itself if it is plain, cut to 60 characters; else its type, with any shape."""
    if value is None or isinstance(value, str | bytes | int | float | list | tuple):
        return " ".join(f"{value!r:.60}".split())
    shape = getattr(value, "shape", None)
    return f"a {type(value).__name__}" if shape is None else f"{type(value).__name__} {list(shape)}"


def whole_number(number: object, what: str) -> int:
    """The number as an int. Raises: TypeError, which names it `what`, for anything but a whole number."""
    try:
        return as_index(number)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{what} is {number!r:.100}; give one whole number") from None


def whole_numbers(numbers: object, count: int, what: str) -> tuple[int, ...]:
    """`count` numbers in their order as ints; floats without a fraction are accepted.

    Raises: ValueError, which names them `what`, for anything else.
    """
    whole = _whole_ones(numbers)
    if len(whole) != count:
        raise ValueError(f"{what} is {numbers!r:.100}; give {count} whole numbers")
    return whole


def whole_sides(sides: object) -> tuple[int, ...]:
    """The lengths of sides (3 or 3.0) as ints; () unless they are whole numbers of at least 1."""
    whole = _whole_ones(sides)
    return whole if min(whole, default=0) >= 1 else ()


def checked_size(size: Any, name: str) -> tuple[int, int]:
    """(height, width). Raises: ValueError if it is not two whole numbers of at least 1."""
    sides = whole_sides(size)
    if len(sides) != 2:
        raise ValueError(
            f"{name} must be (height, width), two whole numbers of at least 1, got {in_words(size)}; "
            "pass image.shape[:2]"
        )
    return sides[0], sides[1]


def checked_numbers(values: Any, expected: str) -> Numbers:
    """The values as an array. Raises: ValueError for text, ragged lists, and tensors that numpy cannot read.

    expected: the description of the values with which the message begins.
    """
    try:
        array = np.asarray(values)
        return array if array.dtype.kind in "biuf" else array.astype(np.float64)
    except (TypeError, ValueError, RuntimeError):
        advice = "; pass its .detach().float().cpu().numpy()" if hasattr(values, "detach") else ""
        raise ValueError(f"{expected}, got {in_words(values)}{advice}") from None


def checked_coords(coords: Any, expected: str = "coordinates must be numbers [..., 2], x and y") -> Numbers:
    """The coordinates as an array. Raises: ValueError if they are not numbers [..., 2]."""
    array = checked_numbers(coords, expected)
    if array.shape[-1:] != (2,):
        raise ValueError(f"{expected}, got {in_words(array)}")
    return array


def refuse_no_boxes(shape: tuple[int, ...], expected: str = "boxes must be numbers [B, 4], XYXY") -> None:
    """Raises: ValueError for a shape that does not end in boxes: 4 numbers, or two corners of 2.

    An empty array holds no boxes and is accepted.
    """
    if shape[-1:] != (4,) and shape[-2:] != (2, 2) and 0 not in shape:
        raise ValueError(f"{expected}, got {list(shape)}")


def positions_of(index: object, count: int) -> npt.NDArray[np.int64]:
    """The positions among `count` masks, from 0 on, that `index` selects; int64 [M], in its order.

    `index` is a list, tuple, range, slice, array or tensor: of whole numbers (negative ones count from the
    end), or of one bool per mask. An empty one selects none.
    Raises: TypeError for anything else, IndexError for a position that does not exist.
    """
    try:
        if isinstance(index, slice):
            return np.arange(count)[index]
        if not isinstance(index, list | tuple | range) and not hasattr(index, "__array__"):
            raise TypeError
        array = np.asarray(index)
    except (TypeError, ValueError, RuntimeError):  # a slice of texts, a ragged list, a tensor on a GPU
        array = np.zeros((), object)
    if array.ndim == 1 and array.dtype == np.bool_:
        if len(array) != count:
            raise IndexError(f"{len(array)} bools are given for {count} masks; give one for each mask")
        return np.flatnonzero(array)
    if array.shape == (0,):
        return np.zeros(0, np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TypeError(
            f"masks are chosen by a list of positions or of one bool per mask, not by {index!r:.100}"
        )
    least, most = int(array.min()), int(array.max())
    if least < -count or most >= count:
        raise IndexError(f"there is no mask {most if most >= count else least} among {count}")
    positions = array.astype(np.int64)
    return positions if least >= 0 else np.where(positions < 0, positions + count, positions)


def _whole_ones(numbers: object) -> tuple[int, ...]:
    """The numbers in their order as ints; () if one is not whole, or they have no order."""
    if isinstance(numbers, Set | Mapping):
        return ()
    try:
        return tuple(map(_whole, numbers))  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError, RuntimeError):  # the last for tensors of several values
        return ()


def _whole(number: object) -> int:
    try:
        return as_index(number)  # type: ignore[arg-type]
    except TypeError:
        whole = int(cast(float, number))
        if whole != number:
            raise
        return whole
