"""The labelled rows of a dataset as samples, in the order of an epoch: for torch and for Ray alike."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UsageError
from pipeline.reading.ahead import ahead
from pipeline.reading.arguments import flag, whole
from pipeline.reading.block import Block
from pipeline.reading.order import EpochOrder
from pipeline.reading.record import Record
from pipeline.reading.rows import Places, Rows
from pipeline.reading.sampling import MaskSampling
from pipeline.reading.shares import Shares, Span, Spans
from sam_core.cached import cached_property

Transform = Callable[[Record], Any]
WINDOW_ROWS = 4096  # about 80 MB with 100 masks per image
EVERY_MASK = MaskSampling()
PREFETCH = 8  # images that a worker fetches ahead: a store answers in about 20 ms, a sample takes a few


class FeedOptions(TypedDict, total=False):
    """The options of `Dataset.to_torch` and `Dataset.to_ray`; the default comes last.

    - transform: makes a sample from a Record, in the worker. None: the dictionary of `to_torch` or `to_ray`.
    - images: whether each record's image is fetched ahead. False.
    - sampling: which masks a record keeps. None: all.
    - shuffle, seed: another order each epoch, the same for the same seed and epoch. False, 0.
    - window_rows: rows are mixed over at least this many, which are held in memory. 4096.
    - prefetch: images that one worker fetches ahead. 8.
    - rank, ranks: whose share, of how many. None: those of torch.distributed, or one share of all.
    - equal_ranks: leaves out the last few images of an epoch, so that all ranks have as many batches. False.
    """

    transform: Transform | None
    images: bool
    sampling: MaskSampling | None
    shuffle: bool
    seed: int
    window_rows: int
    prefetch: int
    rank: int | None
    ranks: int | None
    equal_ranks: bool


@dataclass(frozen=True)
class Feed:
    """The rows, and how samples are made from them."""

    rows: Rows
    transform: Transform
    sampling: MaskSampling = EVERY_MASK
    images: bool = False
    shuffle: bool = False
    seed: int = 0
    window_rows: int = WINDOW_ROWS
    prefetch: int = PREFETCH
    equal_ranks: bool = False
    rank: int | None = None
    ranks: int | None = None
    of_sender: tuple[int, int] | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not callable(self.transform):
            raise UsageError(f"transform is {self.transform!r:.100}; give a function of one Record")
        if not isinstance(self.sampling, MaskSampling):
            raise UsageError(f"sampling is {self.sampling!r:.100}; give a MaskSampling")
        # as Python's own types: the fingerprint of an order is made from their texts
        for name in ("images", "shuffle", "equal_ranks"):
            object.__setattr__(self, name, flag(name, getattr(self, name)))
        if (self.rank is None) != (self.ranks is None):
            raise UsageError("rank and ranks go together; give both or neither")
        least = {"seed": 0, "window_rows": 1, "prefetch": 0}
        for name, one in (least if self.rank is None else {**least, "rank": 0, "ranks": 1}).items():
            object.__setattr__(self, name, whole(name, getattr(self, name), one))
        if self.rank is not None and self.ranks is not None and self.rank >= self.ranks:
            raise UsageError(f"there is no rank {self.rank} among {self.ranks} ranks; ranks count from 0")

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def whole(self) -> Spans:
        """All places of an epoch."""
        return ((0, len(self)),)

    def rank_and_ranks(self) -> tuple[int, int]:
        """The rank, and how many there are: as given, or those of torch.distributed, or 0 of 1.

        A process without a group uses those of the process that sent it the feed.
        """
        if self.rank is not None and self.ranks is not None:
            return self.rank, self.ranks
        return _of_group() or self.of_sender or (0, 1)

    def __getstate__(self) -> dict[str, Any]:
        """Includes the rank of this process: a loader's worker that is not forked is in no group itself."""
        return {**vars(self), "of_sender": _of_group() or self.of_sender} if self.rank is None else vars(self)

    def shares(self, spans: Spans, ranks: int, lanes: int) -> Shares:
        """These places, divided among ranks and their lanes."""
        return Shares.cut(spans, ranks, lanes, self.equal_ranks)

    def row_numbers(self, epoch: int, spans: Sequence[Span]) -> Iterator[NDArray[np.int64]]:
        """The numbers of the rows at these places of an epoch, at most a window at a time."""
        order = EpochOrder(self.rows.starts, self.shuffle, self.seed, epoch, self.window_rows)
        return order.rows(spans)

    def samples(self, epoch: int, spans: Sequence[Span]) -> Iterator[Any]:
        """The samples at these places of an epoch; the next ones are made ahead."""
        windows = ahead(self._records, self.row_numbers(epoch, spans), min(self.prefetch, 1))
        records = (record for window in windows for record in window)
        ready = ahead(lambda record: self._ready(record, epoch), records, self.prefetch if self.images else 0)
        return map(self.transform, ready)

    def sample(self, number: int, epoch: int) -> Any:
        """The sample of one row."""
        return self.transform(self._ready(self.rows.record(number), epoch))

    def sample_list(self, numbers: Sequence[int], epoch: int) -> list[Any]:
        """The samples of some rows, their images fetched side by side."""
        records = [self.rows.record(number) for number in numbers]
        ready = ahead(lambda record: self._ready(record, epoch), records, self.prefetch if self.images else 0)
        return list(map(self.transform, ready))

    def fingerprint(self) -> str:
        """16 characters that are equal for the same rows in the same order."""
        shards = [(commit.name, commit.rows, commit.masks, commit.bytes) for commit in self.rows.commits]
        parts = [shards, str(self.rows.where), len(self), self.shuffle, self.seed, self.window_rows]
        return blake2b(repr(parts).encode(), digest_size=8).hexdigest()

    def _ready(self, record: Record, epoch: int) -> Record:
        # a copy: the window's list would keep every image in memory
        chosen = self.sampling.sampled(replace(record), self.seed, epoch)
        if self.images:
            _ = chosen.image  # stays with the record
        return chosen

    def _records(self, numbers: NDArray[np.int64]) -> list[Record]:
        """The rows with these numbers; each shard is read once."""
        starts = self.rows.starts
        shards = np.searchsorted(starts, numbers, side="right") - 1
        read: dict[int, tuple[Block, Places]] = {
            shard: self.rows.block(shard) for shard in np.unique(shards).tolist()
        }
        return [
            Record(block, int(places[number - starts[shard]]))
            for number, shard in zip(numbers.tolist(), shards.tolist(), strict=True)
            for block, places in [read[shard]]
        ]


def _of_group() -> tuple[int, int] | None:
    """This process's rank in the group of torch.distributed, and how many there are; None without a group."""
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return None
