"""Distributions of the numbers of masks and images: counts in bins, which are added shard by shard."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

MOST_BARS = 40  # in a plot a hand wide
_FINE_IOUS = np.linspace(0, 1.2, 241)  # a predicted IoU may be a little above 1
_FINE_STABILITIES = np.linspace(0, 1, 401)
_ROUNDING = 1e-6  # a float32 of 0.95 is a little below 0.95, but belongs in its bin
_FINE_SHARES = np.logspace(-6, 0, 61)  # ten a decade, from a pixel of a megapixel on


@dataclass(frozen=True)
class Bar:
    """The number of values from `low` on and below `high`."""

    low: float
    high: float
    count: int


@dataclass
class Distribution:
    """Counts between edges; values beyond them are in the first or the last bin."""

    edges: NDArray[np.float64]
    counts: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.counts = np.zeros(len(self.edges) - 1, np.int64)

    def add(self, values: NDArray[np.float64]) -> None:
        within = np.clip(values, self.edges[0], self.edges[-1])
        self.counts += np.histogram(within, self.edges)[0]

    def join(self, other: "Distribution") -> None:
        self.counts += other.counts

    def bars(self) -> list[Bar]:
        """The bins from the first to the last that is not empty, joined into MOST_BARS at most."""
        held = np.flatnonzero(self.counts)
        if not len(held):
            return []
        first, last = int(held[0]), int(held[-1]) + 1
        step = -(-(last - first) // MOST_BARS)
        starts = range(first, last, step)
        return [
            Bar(
                float(self.edges[start]),
                float(self.edges[min(start + step, len(self.edges) - 1)]),
                int(self.counts[start : start + step].sum()),
            )
            for start in starts
        ]


@dataclass
class Distributions:
    """The distributions of the rows that were read."""

    predicted_iou: Distribution = field(default_factory=lambda: Distribution(_FINE_IOUS))
    stability: Distribution = field(default_factory=lambda: Distribution(_FINE_STABILITIES))
    area_share: Distribution = field(default_factory=lambda: Distribution(_FINE_SHARES))
    masks: Distribution = field(default_factory=lambda: Distribution(np.arange(0.0, 1202.0)))

    def add(self, table: pa.Table, of_row: NDArray[np.int64]) -> None:
        """Counts the rows of a table; `of_row` says which row each mask is of."""
        self.predicted_iou.add(_flat(table, "mask_predicted_iou") + _ROUNDING)
        self.stability.add(_flat(table, "mask_stability_score") + _ROUNDING)
        pixels = pc.multiply(table["width"].cast(pa.int64()), table["height"].cast(pa.int64()))
        pixels_N = pixels.fill_null(1).to_numpy()[of_row]
        self.area_share.add(_flat(table, "mask_area") / np.maximum(pixels_N, 1))
        self.masks.add(table["num_masks"].drop_null().to_numpy().astype(np.float64))

    def join(self, other: "Distributions") -> None:
        self.predicted_iou.join(other.predicted_iou)
        self.stability.join(other.stability)
        self.area_share.join(other.area_share)
        self.masks.join(other.masks)


def _flat(table: pa.Table, column: str) -> NDArray[np.float64]:
    flat: NDArray[np.float64] = pc.list_flatten(table[column]).to_numpy().astype(np.float64)
    return flat
