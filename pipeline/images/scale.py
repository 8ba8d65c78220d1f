"""Converts samples of more than 8 bits to 8: which value becomes 0 and which 255, and what the row records.

- `full`: the range of the type. Signed integers of 16 bits, integers of 32 bits and floats have no range that
  images use: for these it is the image's own smallest and largest sample, as in `auto`.
- `auto`: the image's own smallest and largest sample.
- `percentile:P:Q`: the image's samples at these percentiles, so that a few extreme ones do not make the rest
  grey. One range for all bands, as for `auto`: colours keep their balance.
- `LO:HI`: these two numbers, for every image; samples beyond them are black and white.

NaN, infinity, and the nodata values of the file and of the run are no samples: no range includes them, and
they become black.
"""

import base64
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from pipeline.images.percentile import BINS, lower_counts, percentiles, upper_counts, value_counts
from pipeline.images.tiff_tags import UNSIGNED, TiffTags

CHUNK_SAMPLES = 1 << 20  # converted at once, in float64: 8 MB


@dataclass(frozen=True)
class Samples:
    """An image as its file stores it: [H, W] grey or [H, W, 3] RGB, of any number type."""

    values: np.ndarray
    type_range: tuple[float, float] | None = None  # None: the type has no range that images use
    nodata: float | None = None
    is_white_zero: bool = False
    nodata_of_run: float | None = None


@dataclass(frozen=True)
class Scaled:
    """The uint8 pixels, the samples that became 0 and 255, and the image's own smallest and largest."""

    pixels: np.ndarray
    pixel_scale: str
    pixel_range: str | None  # None if the image has no samples but nodata


def scaled(samples: Samples, scale: str) -> Scaled:
    """The samples in 8 bits by `scale`: full, auto, percentile:P:Q or LO:HI."""
    own = _own_range(samples)
    if scale.startswith("counts:"):
        return Scaled(np.zeros(samples.values.shape, np.uint8), _counts(samples, scale[7:]), None)
    given = samples.type_range if scale == "full" else given_range(scale)
    low, high = given or _percentile_range(samples, scale) or own or (0.0, 0.0)
    factor = 255 / (high - low) if high > low else 0.0
    pixels = np.empty(samples.values.shape, np.uint8)
    for rows in _chunks(samples.values):
        values = samples.values[rows].astype(np.float64)
        missing = _missing(samples, samples.values[rows])
        values[missing] = low
        values = np.rint((np.clip(values, low, max(low, high)) - low) * factor)
        if samples.is_white_zero:
            values = 255 - values
        values[_black(missing)] = 0
        pixels[rows] = values
    return Scaled(pixels, range_text(low, high), range_text(*own) if own else None)


def given_range(scale: str) -> tuple[float, float] | None:
    """The two numbers of LO:HI; None for another scale."""
    if scale in ("full", "auto") or scale.startswith("percentile"):
        return None
    low, _, high = scale.partition(":")
    return float(low), float(high)


def given_percentiles(scale: str) -> tuple[float, float] | None:
    """The two numbers of percentile:P:Q; None for another scale."""
    if not scale.startswith("percentile"):
        return None
    _, first, last = scale.split(":")
    return float(first), float(last)


def _percentile_range(samples: Samples, scale: str) -> tuple[float, float] | None:
    """The range of `percentile:P:Q`; None for another scale, or an image of nodata alone."""
    given = given_percentiles(scale)
    return percentiles(lambda: _valid_samples(samples), *given) if given else None


def _counts(samples: Samples, of: str) -> str:
    """The counts that percentiles need of a window of a scene (`pipeline.images.scene`), as text."""
    counts = np.zeros(BINS, np.int64)
    passes = {"values": value_counts, "upper": upper_counts}
    counted = passes[of] if of in passes else partial(lower_counts, bin_=int(of))
    for values in _valid_samples(samples):
        counts += counted(values)
    return base64.b85encode(zlib.compress(counts.tobytes(), 1)).decode()


def _valid_samples(samples: Samples) -> Iterator[np.ndarray]:
    for rows in _chunks(samples.values):
        values = samples.values[rows]
        yield values[~_missing(samples, values)]


def _own_range(samples: Samples) -> tuple[float, float] | None:
    low, high = np.inf, -np.inf
    for values in _valid_samples(samples):
        if values.size:
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    return (low, high) if low <= high else None


def _missing(samples: Samples, values: np.ndarray) -> np.ndarray:
    """Which values are no samples; bool of the same shape."""
    missing: np.ndarray = ~np.isfinite(values)
    for nodata in (samples.nodata, samples.nodata_of_run):
        if nodata is None:
            continue
        if values.dtype.kind == "f":
            with np.errstate(over="ignore"):  # a double that the type cannot hold equals no sample
                missing |= values == values.dtype.type(nodata)
        else:
            missing |= values == nodata
    return missing


def _black(missing: np.ndarray) -> np.ndarray:
    """Which pixels become black: grey ones that are missing, colour ones without any sample."""
    if missing.ndim == 2:
        return missing
    black: np.ndarray = np.broadcast_to(missing.all(axis=2, keepdims=True), missing.shape)
    return black


def _chunks(values: np.ndarray) -> Iterator[slice]:
    """Slices of rows that cover the image: a float64 copy of it would not fit into a decoder's memory."""
    step = max(1, CHUNK_SAMPLES // max(1, values[:1].size))
    return (slice(start, start + step) for start in range(0, len(values), step))


def has_type_range(tags: TiffTags) -> bool:
    """Whether the type of a TIFF's samples has a range that images use."""
    return tags.bits[0] <= 16 and tags.sample_format[0] == UNSIGNED


def range_text(low: float, high: float) -> str:
    """The range as LO:HI."""
    return f"{_number(float(low))}:{_number(float(high))}"


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
