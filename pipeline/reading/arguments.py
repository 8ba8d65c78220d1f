"""Checks the options that callers give, and converts them to Python's own types.

Each function raises UsageError, with a sentence that names the option.
"""

from collections.abc import Iterable
from operator import index

import numpy as np

from pipeline.errors import UsageError
from pipeline.suggestion import suggestion


def whole(name: str, value: object, least: int = 0) -> int:
    """A whole number, `least` or more, as an int."""
    try:
        number = int(index(value))  # type: ignore[arg-type]
    except TypeError:
        number = least - 1
    if number < least:
        raise UsageError(f"{name} is {value!r:.100}; give a whole number, {least} or more")
    return number


def real(name: str, value: object) -> float:
    """A number as a float, not nan."""
    try:
        number = np.nan if isinstance(value, str | bytes) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = np.nan
    if np.isnan(number):
        raise UsageError(f"{name} is {value!r:.100}; give a number")
    return number


def flag(name: str, value: object) -> bool:
    """A bool, numpy's too, as a bool."""
    if not isinstance(value, bool | np.bool_):
        raise UsageError(f"{name} is {value!r:.100}; give True or False")
    return bool(value)


def refuse_unknown(method: str, given: Iterable[str], known: Iterable[str], of_other: dict[str, str]) -> None:
    """Raises if the method has no such option; `of_other` says where some options belong."""
    known = list(known)
    for name in given:
        if name in of_other:
            raise UsageError(f"{method} has no option {name}; give it to {of_other[name]}")
        if name not in known:
            near = suggestion(name, known) or f"; its options are {', '.join(known)}"
            raise UsageError(f"{method} has no option {name}{near}")
