"""Percentiles of samples too many to copy in memory, exact to float32, in three passes over them.

The bits of a float32 sort like its values once the sign bit is set in positive numbers, and all bits are
inverted in negative ones. The first pass counts samples by their upper 16 bits. Then one pass for each of the
two percentiles counts the samples in its bin by the lower 16 bits.
"""

import math
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

BINS = 1 << 16
_SIGN = np.uint32(1 << 31)

Counts = npt.NDArray[np.int64]  # [BINS]


def percentiles(
    chunks: Callable[[], Iterable[np.ndarray]], first: float, last: float
) -> tuple[float, float] | None:
    """The samples at two percentiles, 0..100; None if there are no samples.

    chunks: the samples some at a time, [N] of any number type and without NaN; it is called three times.
    The p-th percentile is the smallest sample that at least p percent of the samples do not exceed.
    """
    return percentiles_of_counts(
        lambda: _sum(upper_counts(values) for values in chunks()),
        lambda bin_: _sum(lower_counts(values, bin_) for values in chunks()),
        first,
        last,
    )


def percentiles_of_counts(
    upper: Callable[[], Counts], lower: Callable[[int], Counts], first: float, last: float
) -> tuple[float, float] | None:
    """As `percentiles`, from the `upper_counts` and, for a bin, the `lower_counts` of all samples."""
    ends = np.cumsum(upper())
    count = int(ends[-1])
    if not count:
        return None
    found = []
    for percentile in (first, last):
        rank = _rank(percentile, count)
        bin_ = int(np.searchsorted(ends, rank))
        before = int(ends[bin_ - 1]) if bin_ else 0
        low = int(np.searchsorted(np.cumsum(lower(bin_)), rank - before))
        found.append(_value(bin_ << 16 | low))
    return found[0], found[1]


def percentiles_of_values(counts: Counts, first: float, last: float) -> tuple[float, float] | None:
    """As `percentiles`, for unsigned integers of up to 16 bits, from the `value_counts` of all samples."""
    ends = np.cumsum(counts)
    count = int(ends[-1])
    if not count:
        return None
    low, high = (int(np.searchsorted(ends, _rank(percentile, count))) for percentile in (first, last))
    return float(low), float(high)


def value_counts(values: np.ndarray) -> Counts:
    """How many samples have each value; uint8 or uint16 [N]."""
    return np.bincount(values, minlength=BINS)


def upper_counts(values: np.ndarray) -> Counts:
    """How many samples have each value of their upper 16 bits."""
    return np.bincount(_keys(values) >> 16, minlength=BINS)


def lower_counts(values: np.ndarray, bin_: int) -> Counts:
    """How many samples of a bin have each value of their lower 16 bits."""
    keys = _keys(values)
    return np.bincount(keys[keys >> 16 == bin_] & (BINS - 1), minlength=BINS)


def _rank(percentile: float, count: int) -> int:
    return min(count, max(1, math.ceil(percentile / 100 * count)))


def _sum(counts: Iterable[Counts]) -> Counts:
    total = np.zeros(BINS, np.int64)
    for each in counts:
        total += each
    return total


def _keys(values: np.ndarray) -> npt.NDArray[np.uint32]:
    with np.errstate(over="ignore"):
        bits = (values.astype(np.float32).ravel() + np.float32(0)).view(np.uint32)  # + 0: no -0
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def _value(key: int) -> float:
    bits = np.uint32(key)
    bits = bits ^ _SIGN if bits & _SIGN else ~bits
    return float(np.array(bits, np.uint32).view(np.float32))
