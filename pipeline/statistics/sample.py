"""A sample of a dataset's images by a seed: the same ones for the same seed, without reading all shards."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.output.dataset import Dataset

LEAST_SHARDS = 32  # at most 4 GB to read; images of one shard are often alike
_CHOICE = 4  # rows to choose from, for each that is wanted


@dataclass(frozen=True)
class Sample:
    """The rows of the sample, by the names of their shards' commits."""

    places: dict[str, NDArray[np.int64]]

    @property
    def rows(self) -> int:
        return sum(map(len, self.places.values()))


def sample_of(dataset: Dataset, size: int, seed: int) -> Sample:
    """At most `size` rows: draws shards, then rows evenly from these; all rows if there are no more."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(dataset.commits))
    drawn = [dataset.commits[number] for number in sorted(_drawn(dataset, order.tolist(), size))]
    ends = np.cumsum([0, *(commit.rows for commit in drawn)])
    total = int(ends[-1])
    rows = np.arange(total) if total <= size else np.sort(random.choice(total, size, replace=False))
    parts = np.split(rows, np.searchsorted(rows, ends))[1:-1]
    places = {
        commit.name: part - start
        for commit, part, start in zip(drawn, parts, ends[:-1].tolist(), strict=True)
        if len(part)
    }
    return Sample(places)


def _drawn(dataset: Dataset, order: list[int], size: int) -> Iterator[int]:
    rows = 0
    for count, number in enumerate(order):
        if dataset.rows > size and count >= LEAST_SHARDS and rows >= _CHOICE * size:
            return
        rows += dataset.commits[number].rows
        yield number
