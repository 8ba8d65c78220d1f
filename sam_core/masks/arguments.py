"""Converts numbers and positions from callers to Python's and numpy's own, or raises a clear error."""

from collections.abc import Mapping, Sequence, Set
from operator import index as as_index
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt

Positions: TypeAlias = Sequence[int] | Sequence[bool] | slice | npt.NDArray[np.int64] | npt.NDArray[np.bool_]


def whole_number(number: object, what: str) -> int:
    """The number as an int. Raises: TypeError, which names it `what`, for anything but a whole number."""
    try:
        return as_index(number)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{what} is {number!r:.100}; it takes one whole number") from None


def whole_numbers(numbers: object, count: int, what: str) -> tuple[int, ...]:
    """`count` numbers in their order as ints; floats without a fraction are accepted.

    Raises: ValueError, which names them `what`, for anything else.
    """
    try:
        if isinstance(numbers, Set | Mapping):  # they have no order
            raise TypeError
        whole = tuple(map(_whole, numbers))  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        whole = ()
    if len(whole) != count:
        raise ValueError(f"{what} is {numbers!r:.100}; it takes {count} whole numbers")
    return whole


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
            f"masks are chosen by a list of positions, or of one bool a mask, not by {index!r:.100}"
        )
    least, most = int(array.min()), int(array.max())
    if least < -count or most >= count:
        raise IndexError(f"there is no mask {most if most >= count else least} among {count}")
    positions = array.astype(np.int64)
    return positions if least >= 0 else np.where(positions < 0, positions + count, positions)


def _whole(number: object) -> int:
    try:
        return as_index(number)  # type: ignore[arg-type]
    except TypeError:
        whole = int(cast(float, number))
        if whole != number:
            raise
        return whole
