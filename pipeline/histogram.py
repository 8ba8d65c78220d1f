"""A distribution in bounded memory: counts between fixed edges, and the exact mean, least and greatest value.

Two histograms with the same edges can be merged into that of all their values.
"""

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Edges = NDArray[np.float64]
# Rising by a third or less from one to the next, whole numbers: 0, 1, 2, ... 10, 13, 16, 20, 25, ...
_STEPS = (10, 13, 16, 20, 25, 32, 40, 50, 64, 80)
COUNTS: Edges = np.array(
    [*range(10), *(step * 10**power for power in range(5) for step in _STEPS)], np.float64
)
SHARES_BY_SIZE: Edges = np.array(
    [0, *(float(f"{step}e{power}") for power in range(-6, 0) for step in (1, 2, 5)), 1]
)
SHARES: Edges = np.arange(0, 21) / 20
SCORES: Edges = np.arange(0, 101) / 100
ESTIMATES: Edges = np.arange(0, 111) / 100  # the model's estimate of an IoU may be a little above 1


class Bin(NamedTuple):
    """The number of values at `low` or above, and below `high`."""

    low: float
    high: float
    number: int


@dataclass
class Histogram:
    """Values by size: counts[i] of them lie at edges[i] or above, and below edges[i + 1].

    Values outside of all edges count in the first or the last bin.
    """

    edges: Edges
    counts: NDArray[np.int64] = field(init=False)
    number: int = 0
    total: float = 0.0
    least: float = math.inf
    most: float = -math.inf

    def __post_init__(self) -> None:
        self.counts = np.zeros(len(self.edges) - 1, np.int64)

    def add(self, values: ArrayLike) -> None:
        """Counts the values, without NaN."""
        array = np.asarray(values)
        array = array[~np.isnan(array)]
        if not array.size:
            return
        # in the values' own precision: the float32 that is nearest to 0.95 belongs to 0.95
        kind = array.dtype if array.dtype.kind == "f" else np.dtype(np.float64)
        places = np.searchsorted(self.edges.astype(kind), array, side="right") - 1
        self.counts += np.bincount(places.clip(0, len(self.counts) - 1), minlength=len(self.counts))
        self.number += array.size
        self.total += float(array.sum(dtype=np.float64))
        self.least = min(self.least, float(array.min()))
        self.most = max(self.most, float(array.max()))

    def merge(self, other: "Histogram") -> None:
        """Counts the other's values too."""
        self.counts += other.counts
        self.number += other.number
        self.total += other.total
        self.least, self.most = min(self.least, other.least), max(self.most, other.most)

    @property
    def mean(self) -> float:
        """The exact mean; 0 if there are no values."""
        return self.total / self.number if self.number else 0.0

    @property
    def median(self) -> float:
        """Exact to the width of a bin, in which values are assumed to spread evenly; 0 if there are none."""
        if not self.number:
            return 0.0
        below = np.concatenate([[0], np.cumsum(self.counts)])
        place = int(np.searchsorted(below, self.number / 2, side="left")) - 1
        share = (self.number / 2 - below[place]) / self.counts[place]
        middle = self.edges[place] + share * (self.edges[place + 1] - self.edges[place])
        return float(np.clip(middle, self.least, self.most))

    def bins(self, most: int, on_round_edges: bool = True) -> list[Bin]:
        """At most `most` bins, each of several neighbours, which reach as far as there are values.

        on_round_edges: the first begins at a multiple of its width, which may be below the least value.
        """
        used = np.flatnonzero(self.counts)
        if not used.size:
            return []
        first, end = int(used[0]), int(used[-1]) + 1
        together = -(-(end - first) // most)
        if on_round_edges:
            first -= first % together
            together = -(-(end - first) // most)
            first -= first % together
        return [
            Bin(
                float(self.edges[start]),
                float(self.edges[min(start + together, len(self.counts))]),
                int(self.counts[start : start + together].sum()),
            )
            for start in range(first, end, together)
        ]

    def as_json(self) -> dict[str, Any]:
        """JSON values; least and most are null if there are no values."""
        return {
            "number": self.number,
            "mean": self.mean,
            "median": self.median,
            "least": self.least if self.number else None,
            "most": self.most if self.number else None,
            "edges": self.edges.tolist(),
            "counts": self.counts.tolist(),
        }
