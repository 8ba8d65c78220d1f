"""A dataset of masks, to read and to train on.

    dataset = Dataset.open("s3://bucket/masks")
    for record in dataset: record.uri, record.predicted_iou, record.mask(0)

A `Dataset` shows one moment. What a run adds later is in the next one, which `again` gives.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from math import inf
from operator import index
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex, Unpack, overload

import numpy as np
import pyarrow as pa

from pipeline.errors import UsageError
from pipeline.output.dataset import Dataset as Snapshot
from pipeline.reading.ahead import ahead
from pipeline.reading.arguments import flag, real, refuse_unknown, whole
from pipeline.reading.columns import Where, expression_of, read_columns
from pipeline.reading.feed import Feed, FeedOptions, Transform
from pipeline.reading.follow import followed
from pipeline.reading.pinned import pinned_snapshot
from pipeline.reading.record import Record
from pipeline.reading.rows import Rows

if TYPE_CHECKING:
    import ray.data

    from pipeline.reading.torch_data import IndexedImages, StreamedImages

_ID = re.compile("[0-9a-fA-F]{32}")
# where the options belong that are often given to the wrong method
_OF_LOADERS = dict.fromkeys(("batch_size", "num_workers", "drop_last", "collate_fn"), "its loader")
_FEED = tuple(FeedOptions.__annotations__)
_OF_BATCHES = dict.fromkeys(("batch_size", "drop_last"), "its iter_batches")


class Dataset:
    """The rows of a dataset at one moment, in a fixed order: a sequence of records."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    @classmethod
    def open(
        cls,
        url: str | PathLike[str],
        columns: Iterable[str] | None = None,
        where: Where | None = None,
        pinned: dict[str, Any] | None = None,
    ) -> "Dataset":
        """The dataset at a path or a URL, as it is now, or as it was when `pin` gave `pinned`.

        `columns` names the columns to read (docs/dataset.md), all by default. `where` is a condition on rows:
        an Arrow expression, or tuples such as [("num_masks", ">", 3)]. Of a shard without such a row only the
        condition's columns are read.
        Raises: UsageError if there is no dataset, a newer sam-label made it, or a column is unknown;
            DamagedFile.
        """
        snapshot = pinned_snapshot(fspath(url), pinned) if pinned is not None else Snapshot.at(fspath(url))
        schema = snapshot.identity.schema
        return cls(Rows(snapshot, tuple(read_columns(columns, schema)), expression_of(where, schema)))

    @property
    def url(self) -> str:
        """Where the dataset is."""
        return self._rows.snapshot.store.url

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read."""
        return self._rows.columns

    @property
    def made_with(self) -> dict[str, Any]:
        """Model, mask options and their fingerprint, as dataset.json has them."""
        return self._rows.snapshot.identity.described()

    @property
    def inputs(self) -> list[str]:
        """The folders or prefixes whose images were listed; several after a merge."""
        return self._rows.snapshot.record.inputs

    @property
    def is_complete(self) -> bool:
        """Whether every image of the input has a row at this moment."""
        return self._rows.snapshot.is_complete

    def __len__(self) -> int:
        """The number of images, failed ones included unless `where` leaves them out."""
        return len(self._rows)

    def __bool__(self) -> bool:
        return True  # also without a row

    def __repr__(self) -> str:
        return (
            f"<Dataset {self.url}: {self._rows.snapshot.rows} rows by run {self._rows.snapshot.record.run}>"
        )

    def __iter__(self) -> Iterator[Record]:
        """All records; the next shard is read ahead."""
        for block, places in ahead(self._rows.block, range(len(self._rows.commits)), 1):
            yield from (Record(block, row) for row in places.tolist())

    def __getitem__(self, key: int | str) -> Record:
        """The record at a position, or with an image id.

        Raises: IndexError, TypeError, UsageError for an id that is not in the dataset.
        """
        if isinstance(key, str):
            if (number := self._number_of(key)) is None:
                raise UsageError(f"{self.url} has no image {key!r}; an id is the image_id of a row")
            return self._rows.record(number)
        if not isinstance(key, SupportsIndex):
            raise TypeError(
                f"a dataset returns one record by its position or image id, not by {key!r}; use `select` "
                "for several"
            )
        key = index(key)
        position = key + len(self) if key < 0 else key
        if not 0 <= position < len(self):
            raise IndexError(f"there is no image {key} in {self.url}, which has {len(self)}")
        return self._rows.record(position)

    def __contains__(self, image_id: object) -> bool:
        """Whether the dataset has an image with this id."""
        return isinstance(image_id, str) and self._number_of(image_id) is not None

    def select(self, columns: Iterable[str] | None = None, where: Where | None = None) -> "Dataset":
        """The same moment of the dataset with other columns, and only the rows that also meet `where`."""
        schema = self._rows.snapshot.identity.schema
        both = [one for one in (self._rows.where, expression_of(where, schema)) if one is not None]
        named = self.columns if columns is None else tuple(read_columns(columns, schema))
        condition = both[0] & both[1] if len(both) == 2 else both[0] if both else None
        return Dataset(Rows(self._rows.snapshot, named, condition, self._rows.only_ok))

    def again(self) -> "Dataset":
        """The dataset as it is now; commits that are known already are not read again."""
        return self._of(self._rows.snapshot.again())

    def follow(self, poll_s: float = 2.0) -> Iterator[Record]:
        """All records, then those that the current run commits, until that run has ended.

        A run that was killed never ends; `sam-label status` says so.
        Raises: SamLabelError if rows that were given have been taken out since.
        """
        seconds = real("poll_s", poll_s)
        if not 0 <= seconds < inf:
            raise UsageError(f"poll_s is {poll_s}; give seconds, 0 or more")
        return (record for added in followed(self._rows.snapshot, seconds) for record in self._of(added))

    def pin(self) -> dict[str, Any]:
        """This moment as JSON values: `open(url, pinned=...)` gives the same rows after others were added."""
        snapshot = self._rows.snapshot
        return {"run": snapshot.record.run, "commits": [commit.name for commit in snapshot.commits]}

    def tables(self) -> Iterator[pa.Table]:
        """The rows as Arrow tables, a shard at a time."""
        for block, places in ahead(self._rows.block, range(len(self._rows.commits)), 1):
            if len(places):
                yield block.table.take(places)

    def duplicates(self) -> Iterator[pa.Table]:
        """Images without a row, since others have the same bytes: `uri`, and `image_id` of the other.

        Tables of at most 100,000 rows; there are none without `--deduplicate`.
        """
        return self._rows.snapshot.duplicates()

    def files(self) -> list[str]:
        """The Parquet files that count at this moment, for other tools."""
        return self._rows.snapshot.files()

    @overload
    def to_torch(
        self, *, indexed: Literal[False] = False, **options: Unpack[FeedOptions]
    ) -> "StreamedImages": ...

    @overload
    def to_torch(self, *, indexed: Literal[True], **options: Unpack[FeedOptions]) -> "IndexedImages": ...

    def to_torch(
        self, *, indexed: bool = False, **options: Unpack[FeedOptions]
    ) -> "StreamedImages | IndexedImages":
        """The labelled images for `torch.utils.data`: a stream, or by position if `indexed`.

        In a stream each shard is read by one worker, or by two if their shares meet in it. By position each
        worker reads the shards that it needs. `options` are FeedOptions; without a transform, samples are
        dictionaries of tensors.
        """
        from pipeline.reading.torch_data import IndexedImages, StreamedImages, tensors, tensors_and_image

        refuse_unknown("to_torch", options, ("indexed", *_FEED), _OF_LOADERS)
        feed = self._feed(options, tensors, tensors_and_image)
        return IndexedImages(feed) if flag("indexed", indexed) else StreamedImages(feed)

    def to_ray(
        self, *, epoch: int = 0, done_rows: int = 0, **options: Unpack[FeedOptions]
    ) -> "ray.data.Dataset":
        """The labelled images as a `ray.data.Dataset`: one epoch in its order, without the first `done_rows`.

        `options` are FeedOptions. A transform returns a dictionary; by default it has the masks' columns.
        """
        from pipeline.reading.ray_data import arrays, arrays_and_image, ray_dataset

        refuse_unknown("to_ray", options, ("epoch", "done_rows", *_FEED), _OF_BATCHES)
        if "rank" not in options and "ranks" not in options:
            options["rank"], options["ranks"] = 0, 1
        feed = self._feed(options, arrays, arrays_and_image)
        return ray_dataset(feed, whole("epoch", epoch), whole("done_rows", done_rows))

    def _feed(self, options: FeedOptions, plain: Transform, with_image: Transform) -> Feed:
        named: dict[str, Any] = {
            name: value
            for name, value in options.items()
            if value is not None or name not in ("transform", "sampling")
        }
        transform = with_image if flag("images", options.get("images", False)) else plain
        return Feed(replace(self._rows, only_ok=True), **{"transform": transform, **named})

    def _of(self, snapshot: Snapshot) -> "Dataset":
        return Dataset(Rows(snapshot, self.columns, self._rows.where, self._rows.only_ok))

    def _number_of(self, image_id: str) -> int | None:
        if _ID.fullmatch(image_id):
            ids, numbers = self._rows.ids
            packed = np.frombuffer(bytes.fromhex(image_id), "S16")[0]
            place = int(np.searchsorted(ids, packed))
            if place < len(ids) and ids[place] == packed:
                return int(numbers[place])
        return None
