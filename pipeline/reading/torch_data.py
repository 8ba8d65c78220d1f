"""A dataset for `torch.utils.data`: by position, or as a stream that ranks and workers share.

Both give the same samples in the same order of an epoch. `loader` makes a DataLoader from either that can
be stopped and resumed; plain DataLoaders accept both too.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import Dataset, IterableDataset, Sampler, get_worker_info

from pipeline.output.format.schema import VECTORS
from pipeline.reading.arguments import whole
from pipeline.reading.feed import Feed
from pipeline.reading.loader import Loader
from pipeline.reading.record import Record
from pipeline.reading.shares import Shares, Spans
from sam_core.arguments import whole_number


def tensors(record: Record) -> dict[str, Any]:
    """The sample if no transform is given: the masks as tensors, with their boxes and scores."""
    vectors = {
        name: torch.tensor(getattr(record, name))  # float16 [N, 256], and [256] of the image
        for name in VECTORS
        if record.block.has(name)
    }
    return {
        "image_id": record.image_id,
        "uri": record.uri,
        "masks": torch.from_numpy(record.masks()),  # bool [N, H, W]
        "bbox_xywh": torch.tensor(record.bbox_xywh),
        "predicted_iou": torch.tensor(record.predicted_iou),
        "stability_score": torch.tensor(record.stability_score),
        **vectors,
    }


def tensors_and_image(record: Record) -> dict[str, Any]:
    """As `tensors`, with the image as uint8 [3, H, W]."""
    return {**tensors(record), "image": torch.tensor(record.image).permute(2, 0, 1)}


class StreamedImages(IterableDataset[Any]):
    """A stream of samples: each rank, and each worker of its DataLoader, has a share of its own."""

    is_shared_by_workers = True

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.epoch = 0
        self._shares: Shares | None = None

    def set_epoch(self, epoch: int) -> None:
        """The epoch that the next iteration goes through, from its beginning."""
        self.epoch, self._shares = whole("epoch", epoch), None

    def set_shares(self, epoch: int, shares: Shares) -> None:
        """Sets what the next iteration goes through; the loader calls it before its workers start."""
        self.epoch, self._shares = epoch, shares

    def __iter__(self) -> Iterator[Any]:
        rank, ranks = self.feed.rank_and_ranks()
        worker = get_worker_info()
        lane, lanes = (worker.id, worker.num_workers) if worker else (0, 1)
        shares = self._shares or self.feed.shares(self.feed.whole, ranks, lanes)
        return self.feed.samples(self.epoch, shares.lanes[rank][lane])

    def loader(self, batch_size: int | None = 1, **options: Any) -> Loader:
        """A DataLoader over this rank's share, with `state_dict`; `options` are DataLoader's."""
        return Loader(self, None, batch_size=batch_size, **options)


class IndexedImages(Dataset[Any]):
    """Samples by position; its sampler determines the order of the positions."""

    is_shared_by_workers = False  # the sampler runs in the main process

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.epoch = 0
        self.places = EpochPlaces(self)

    def set_epoch(self, epoch: int) -> None:
        """The epoch that the next iteration goes through, from its beginning."""
        self.epoch, self.places.spans = whole("epoch", epoch), None

    def set_shares(self, epoch: int, shares: Shares) -> None:
        """Sets what the next iteration goes through; the loader calls it."""
        rank, _ = self.feed.rank_and_ranks()
        self.epoch, self.places.spans = epoch, shares.lanes[rank][0]

    def __len__(self) -> int:
        """The images of the whole dataset."""
        return len(self.feed)

    def __getitem__(self, position: int) -> Any:
        return self.feed.sample(self._checked(position), self.epoch)

    def __getitems__(self, positions: Sequence[int]) -> list[Any]:
        return self.feed.sample_list([self._checked(position) for position in positions], self.epoch)

    def _checked(self, position: int) -> int:
        position = whole_number(position, "the position of an image")
        if not 0 <= position < len(self):
            raise IndexError(f"position {position} is not among the {len(self)} images")
        return position

    def sampler(self) -> "EpochPlaces":
        """For a plain DataLoader: this rank's positions in the order of the epoch."""
        return self.places

    def loader(self, batch_size: int | None = 1, **options: Any) -> Loader:
        """A DataLoader over this rank's share, with `state_dict`; `options` are DataLoader's."""
        return Loader(self, self.places, batch_size=batch_size, **options)


class EpochPlaces(Sampler[int]):
    """A rank's positions in the order of the epoch."""

    def __init__(self, images: IndexedImages) -> None:
        self.spans: Spans | None = None
        self._images = images

    def _share(self) -> Spans:
        if self.spans is not None:
            return self.spans
        feed = self._images.feed
        rank, ranks = feed.rank_and_ranks()
        return feed.shares(feed.whole, ranks, 1).lanes[rank][0]

    def __len__(self) -> int:
        return sum(stop - start for start, stop in self._share())

    def __iter__(self) -> Iterator[int]:
        for numbers in self._images.feed.row_numbers(self._images.epoch, self._share()):
            yield from numbers.tolist()
