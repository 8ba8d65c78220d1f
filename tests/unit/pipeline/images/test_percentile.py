"""Percentiles against NumPy's, for every number type."""

import numpy as np
import pytest

from pipeline.images.percentile import percentiles, percentiles_of_values, value_counts
from pipeline.images.scale import Samples, scaled


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "f2", "f4", "f8"])
def test_as_numpy(dtype: str) -> None:
    rng = np.random.default_rng(1)
    spread = 100 if dtype == "u1" else 30_000
    values = (rng.normal(0, 1, 5000) * spread / 5 + spread).astype(dtype)
    values[:3] = [0, 0, 1]
    for first, last in ((2, 98), (0, 100), (0.1, 50), (49, 51)):
        expected = np.percentile(values.astype(np.float32), [first, last], method="inverted_cdf")
        chunks = np.array_split(values, 7)
        assert percentiles(lambda chunks=chunks: chunks, first, last) == tuple(expected.tolist())
        if dtype.startswith("u"):
            counts = sum(value_counts(chunk) for chunk in chunks)
            assert percentiles_of_values(counts, first, last) == tuple(expected.tolist())


def test_signs_and_zeros() -> None:
    values = np.array([-3.5, -0.0, 0.0, 1e-30, -1e30, 7.0], np.float32)
    expected = np.sort(values).tolist()
    got = [percentiles(lambda: [values], at, 100) for at in (1, 17, 34, 51, 67, 84)]
    assert [pair[0] for pair in got if pair] == expected
    assert percentiles(lambda: [values[:0]], 2, 98) is None


def test_extreme_samples_and_nodata_do_not_count() -> None:
    values = np.arange(1000, dtype=np.float32).reshape(10, 100)
    values[0, 0], values[0, 1], values[9, 99] = -9999, 1e30, 5e20
    made = scaled(Samples(values, nodata_of_run=1e30, nodata=-9999), "percentile:2:98")
    assert made.pixel_scale == "21:980"
    assert made.pixels[0, :2].tolist() == [0, 0]
    assert made.pixels[9, 99] == 255
