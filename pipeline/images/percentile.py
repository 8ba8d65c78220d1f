"""Percentiles of more samples than memory holds twice, exact to float32, in two passes over them.

The bits of a float32 sort as its values do once the sign is turned over. The first pass counts samples by the
upper 16 bits, the second those in the bins of the two percentiles by the lower 16.
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

    chunks: the samples some at a time, [N] of any number type and without NaN; it is asked twice.
    A percentile is the smallest sample that at least so many of a hundred do not exceed.
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
    """As `percentiles`, from what `upper_counts` and, for a bin, `lower_counts` say of all samples."""
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
    """As `percentiles`, of whole numbers of 16 bits: how many samples have each value says it all."""
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
