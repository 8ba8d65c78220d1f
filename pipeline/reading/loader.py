"""A DataLoader that can be stopped after any batch, and resumed in another process.

It counts the batches that it has given out, not those that its workers have made ahead.
"""

from collections.abc import Iterator
from operator import index
from typing import TYPE_CHECKING, Any

from torch.utils.data import DataLoader, Sampler

from pipeline.errors import UsageError
from pipeline.reading.arguments import whole
from pipeline.reading.shares import Shares

if TYPE_CHECKING:
    from pipeline.reading.torch_data import IndexedImages, StreamedImages

STATE_VERSION = 1
_NO_STATE = "this is not the state of a loader; give what its state_dict returned"


class Loader(DataLoader[Any]):
    """Each pass is one epoch, and the next pass is the next epoch, even if `break` has ended the pass early.

    A batch is a list of samples unless `collate_fn` is given. With batch_size=None it gives single samples.
    """

    def __init__(
        self,
        images: "StreamedImages | IndexedImages",
        places: Sampler[int] | None,
        /,
        batch_size: int | None,
        num_workers: int = 0,
        drop_last: bool = False,
        **options: Any,
    ) -> None:
        if options.get("persistent_workers"):
            raise UsageError(
                "persistent_workers would keep the shares of an earlier epoch; leave it out, so that each "
                "epoch starts new workers"
            )
        for name in ("dataset", "shuffle", "sampler", "batch_sampler"):
            value = options.pop(name, None)
            if value is not None and value is not False:
                raise UsageError(
                    f"{name} cannot be given to the loader; the dataset decides the order: "
                    "to_torch(shuffle=True, seed=0)"
                )
        self._images = images
        self._epoch, self._given = 0, 0
        self._shares: Shares | None = None  # at the beginning of the current pass, or of the next one
        self._is_resumed = False
        if batch_size is not None:
            batch_size, options = whole("batch_size", batch_size, 1), {"collate_fn": list, **options}
        super().__init__(
            images,
            sampler=places,
            batch_size=batch_size,
            num_workers=whole("num_workers", num_workers),
            drop_last=drop_last,
            **options,
        )

    @property
    def epoch(self) -> int:
        """The epoch of the current pass, or of a pass that was left early; else the next epoch."""
        return self._epoch

    def set_epoch(self, epoch: int) -> None:
        """The next pass goes through that epoch from its beginning."""
        self._epoch, self._given, self._shares, self._is_resumed = whole("epoch", epoch), 0, None, False

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        if self._given:  # the pass before was left early
            self.set_epoch(self._epoch + 1)
        if not self._is_resumed:
            self._shares = None
        self._given, self._is_resumed = 0, False
        self._images.set_shares(self._epoch, self._begin())
        for batch in super().__iter__():
            self._given += 1
            yield batch
        self.set_epoch(self._epoch + 1)

    def __len__(self) -> int:
        """The number of batches in a pass; in a resumed pass, those that are left."""
        rank, _ = self._images.feed.rank_and_ranks()
        return self._begin().batches(rank, self._batch_rows, bool(self.drop_last))

    def state_dict(self) -> dict[str, Any]:
        """The position in the current pass, or where a pass was left, as JSON values.

        One rank's state serves all ranks, which are assumed to have had equally many batches.
        """
        left = self._begin().after(self._given, self._batch_rows, bool(self.drop_last))
        return {
            "version": STATE_VERSION,
            "dataset": self._images.feed.fingerprint(),
            "epoch": self._epoch,
            "lanes": left.to_json(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The next pass goes on there; its next batch is the same if ranks, workers and batch size are.

        With others, the rest of the epoch is divided anew.
        Raises: UsageError for a state of another dataset or another order, or a value that is no state.
        """
        try:
            version, dataset = state["version"], state["dataset"]
            epoch, shares = index(state["epoch"]), Shares.from_json(state["lanes"])
            is_one = bool(version == STATE_VERSION and epoch >= 0 and shares.lanes and shares.lanes[0])
        except (KeyError, TypeError, ValueError, IndexError):
            is_one = False
        if not is_one:
            raise UsageError(_NO_STATE)
        if dataset != self._images.feed.fingerprint():
            raise UsageError(
                "the state belongs to other rows or another order: the dataset has changed since, or "
                "where, shuffle, seed or window_rows differ; open the dataset as it was with pinned=..., or "
                "start the epoch again"
            )
        if not shares.is_of(len(self._images.feed)):
            raise UsageError(_NO_STATE)
        self._epoch, self._shares, self._given, self._is_resumed = epoch, shares, 0, True

    @property
    def _batch_rows(self) -> int:
        return self.batch_size or 1

    def _begin(self) -> Shares:
        """The shares with which the current pass, or the next one, begins."""
        _, ranks = self._images.feed.rank_and_ranks()
        lanes = max(1, self.num_workers) if self._images.is_shared_by_workers else 1
        before = self._shares
        if before is None or (before.ranks, before.lanes_a_rank) != (ranks, lanes):
            feed = self._images.feed
            self._shares = feed.shares(before.left() if before else feed.whole, ranks, lanes)
        assert self._shares is not None  # noqa: S101
        return self._shares
