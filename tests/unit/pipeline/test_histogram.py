import numpy as np
import pytest

from pipeline.histogram import COUNTS, Histogram


def test_a_histogram_ends_where_its_values_do() -> None:
    histogram = Histogram(COUNTS)
    histogram.add(np.array([3, 3, 7, 21]))
    assert histogram.median == pytest.approx(4.0, abs=1)
    bins = histogram.bins(4)
    assert len(bins) <= 4
    assert sum(count for _, _, count in bins) == 4
    assert bins[0][0] <= 3
    assert bins[-1][1] > 21
    scores = Histogram(np.arange(0, 101) / 100)
    scores.add(np.array([0.95, np.nan, 7], np.float32))
    assert (scores.counts[95], scores.counts[99], scores.number) == (1, 1, 2)


def test_bins_may_begin_at_the_first_value() -> None:
    histogram = Histogram(np.arange(0.0, 101.0))
    histogram.add([7, 7.5, 30])
    assert histogram.bins(10) == [(6, 9, 2), *((low, low + 3, 0) for low in range(9, 30, 3)), (30, 33, 1)]
    assert histogram.bins(10, on_round_edges=False)[0] == (7, 10, 2)
