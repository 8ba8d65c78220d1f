"""The order of the rows in an epoch: the same on every rank and worker for one seed and epoch.

A shuffle puts whole shards in another order, and mixes the rows of a few neighbouring shards: a window.
So a reader holds a window in memory, reads each shard once, and two epochs have little in common.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam_core.cached import cached_property


@dataclass(frozen=True)
class EpochOrder:
    """The order of `starts[-1]` rows; shard s has the rows from starts[s] to starts[s + 1]."""

    starts: NDArray[np.int64]
    shuffle: bool
    seed: int
    epoch: int
    window_rows: int

    def rows(self, spans: Sequence[tuple[int, int]]) -> Iterator[NDArray[np.int64]]:
        """The numbers of the rows at those places of the order, at most a window at a time."""
        for start, stop in spans:
            window = int(np.searchsorted(self._edges, start, side="right")) - 1
            while start < stop:
                first, end = int(self._edges[window]), int(self._edges[window + 1])
                if start < end:
                    yield self._window(window)[start - first : min(stop, end) - first]
                    start = min(stop, end)
                window += 1

    def _window(self, window: int) -> NDArray[np.int64]:
        """The numbers of a window's rows, in their order."""
        shards = self._shards[self._firsts[window] : self._firsts[window + 1]]
        rows = [np.arange(self.starts[shard], self.starts[shard + 1]) for shard in shards.tolist()]
        every = np.concatenate([np.zeros(0, np.int64), *rows])
        return self._chance(1, window).permutation(every) if self.shuffle else every

    @cached_property
    def _shards(self) -> NDArray[np.int64]:
        """The shards in the order of this epoch."""
        shards = np.arange(len(self.starts) - 1)
        return self._chance(0, 0).permutation(shards) if self.shuffle else shards

    @cached_property
    def _firsts(self) -> list[int]:
        """The place among `_shards` at which each window begins; the last entry is the number of shards."""
        firsts, rows = [0], 0
        for place, shard in enumerate(self._shards.tolist()):
            rows += int(self.starts[shard + 1] - self.starts[shard])
            if rows >= self.window_rows:
                firsts.append(place + 1)
                rows = 0
        return firsts if firsts[-1] == len(self._shards) else [*firsts, len(self._shards)]

    @cached_property
    def _edges(self) -> NDArray[np.int64]:
        """The place in the order at which each window begins; the last entry is the number of rows."""
        counts = np.diff(self.starts)[self._shards]
        return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])[self._firsts]

    def _chance(self, what: int, which: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, self.epoch, what, which])
