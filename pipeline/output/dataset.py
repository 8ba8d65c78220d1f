"""A dataset as readers see it: one snapshot of what is committed. Imports no Ray and no torch.

    dataset = Dataset.at("s3://bucket/masks")
    for table in dataset.tables(["uri", "mask_counts"]): ...

A snapshot does not change while a run goes on; take a new one to see later commits.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.errors import DamagedFile, Reason, SamLabelError, StoreError, UsageError
from pipeline.output.commits import Commit, RunRecord, current_record, failed_by_reason, live_commits
from pipeline.output.format.duplicates import read_duplicates
from pipeline.output.format.identity import Identity
from pipeline.output.format.manifest import read_manifest
from pipeline.output.format.names import DATASET
from pipeline.output.format.schema import SCHEMA_VERSION
from pipeline.output.ids import Ids, packed_ids
from pipeline.output.pending import PendingPart, pending_parts
from pipeline.output.row_guard import refuse_damaged_rows
from pipeline.output.shards import read_shard, shard_group_rows, shard_memory_bytes
from pipeline.store.storage import Store, side_by_side
from sam_core.cached import cached_property

SHARDS_AT_ONCE = 128  # whose ids are read side by side: 4 MB of ids, and 30 MB as text


@dataclass(frozen=True)
class Dataset:
    """The rows that counted at one moment. A later retry or refresh may delete its shards."""

    store: Store
    record: RunRecord
    commits: tuple[Commit, ...]

    @classmethod
    def at(cls, url: str) -> "Dataset":
        """The dataset at a URL or a path. Raises: as `in_store`."""
        return cls.in_store(Store.at(url))

    @classmethod
    def in_store(
        cls, store: Store, known: Iterable[Commit] = (), may_lack_commits: bool = False
    ) -> "Dataset":
        """As `in_store_or_none`, but raises UsageError if there is no dataset, or none yet."""
        try:
            dataset = cls.in_store_or_none(store, known, may_lack_commits)
        except StoreError as fault:
            if fault.reason is not Reason.SOURCE_MISSING:
                raise
            raise UsageError(f"{store.url} holds no dataset ({fault}); {_MAKE_ONE}") from fault
        if dataset is None:
            raise UsageError(_why_there_is_none(store))
        return dataset

    @classmethod
    def in_store_or_none(
        cls, store: Store, known: Iterable[Commit] = (), may_lack_commits: bool = False
    ) -> "Dataset | None":
        """The dataset in the store, None if there is none yet; `known` commits are not read again.

        Raises: DamagedFile, also for lost commits unless `may_lack_commits`.
            UsageError if the place is a file, or a newer sam-label has written it.
        """
        if store.is_local and store.info("") is not None:
            raise UsageError(f"{store.url} is a file, and a dataset is a folder; name a folder")
        try:
            record = current_record(store)
        except DamagedFile:
            _refuse_newer(store)
            raise
        if record is not None:
            _refuse_newer(store, record.identity.schema_version)
        while record is not None:
            try:
                dataset = cls(store, record, tuple(live_commits(store, record, known)))
                later = current_record(store)  # a run that took over meanwhile may have swept commits away
            except StoreError as fault:
                later = _later_record(store, record, fault)
            if later is None or later.run == record.run:
                if not may_lack_commits:
                    dataset._refuse_lost_commits()
                return dataset
            record = later
        return None

    def again(self) -> "Dataset":
        """The dataset as it is now."""
        return self.in_store(self.store, self.commits)

    @property
    def identity(self) -> Identity:
        return self.record.identity

    @property
    def commit_names(self) -> tuple[str, ...]:
        return tuple(commit.name for commit in self.commits)

    @property
    def own_commits(self) -> list[Commit]:
        """The commits that the current run has labelled, without shards that it only wrote again."""
        before = set(self.record.started_from)
        return [commit for commit in self.commits if commit.name not in before]

    @property
    def images(self) -> int:
        """Images that the manifest names."""
        return self.record.images

    @property
    def labelled(self) -> int:
        """Rows that are ok."""
        return self.rows - self.failed

    @property
    def failed(self) -> int:
        return sum(self.failed_by_reason.values())

    @cached_property
    def failed_by_reason(self) -> dict[str, int]:
        return failed_by_reason(self.commits)

    @property
    def rows(self) -> int:
        return sum(commit.rows for commit in self.commits)

    @property
    def masks(self) -> int:
        return sum(commit.masks for commit in self.commits)

    @property
    def bytes(self) -> int:
        return sum(commit.bytes for commit in self.commits)

    @property
    def left(self) -> int:
        """Images without a row yet."""
        return self.images - self.rows

    @property
    def is_complete(self) -> bool:
        """Whether every image of the manifest has its row, judged by counts; `validate` checks the rows."""
        return self.left == 0

    def files(self) -> list[str]:
        """The URIs of the shards that count, for other readers of Parquet."""
        return [self.store.uri(commit.shard) for commit in self.commits]

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The rows, a shard at a time.

        Raises: DamagedFile. SamLabelError if a later run has replaced a shard.
        """
        for commit in self.commits:
            yield self.rows_of(commit, columns)

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows at once; for datasets that fit in memory."""
        schema = self.identity.schema
        empty = schema.empty_table().select(columns or schema.names)
        return pa.concat_tables(
            [empty, *(table.select(empty.column_names) for table in self.tables(columns))]
        )

    def manifest(self) -> Iterator[pa.Table]:
        """The images that have or will have a row, sorted by `ManifestRow.name`, a part at a time.

        Raises: as `tables`.
        """
        with self._told_if_replaced():
            yield from read_manifest(self.store, self.record.manifest)

    def duplicates(self) -> Iterator[pa.Table]:
        """Images whose bytes another image has (uri, image_id of that one), a part at a time.

        Raises: as `tables`.
        """
        with self._told_if_replaced():
            yield from read_duplicates(self.store, self.record.duplicates)

    def done_ids(self) -> Iterator[Ids]:
        """The ids of the images that have a row, those of SHARDS_AT_ONCE shards at a time."""
        for start in range(0, len(self.commits), SHARDS_AT_ONCE):
            some = self.commits[start : start + SHARDS_AT_ONCE]
            yield np.concatenate(
                side_by_side(lambda one: packed_ids(self.rows_of(one, ["image_id"])["image_id"]), some)
            )

    def pending_parts(self) -> list[PendingPart]:
        """The parts of the manifest that name images without a row, in order."""
        return pending_parts(self.store, self.record.manifest, self.images, self.done_ids())

    def pending(self) -> Iterator[pa.Table]:
        """The rows of the manifest that are still to be labelled, a part at a time. Raises: as `tables`."""
        with self._told_if_replaced():
            for part in self.pending_parts():
                yield from part.tables(self.store)

    def rows_of(
        self, commit: Commit, columns: Sequence[str] | None = None, groups: Sequence[int] | None = None
    ) -> pa.Table:
        """The rows of a shard, or of some row groups of it. Raises: as `tables`."""
        with self._told_if_replaced():
            table = read_shard(self.store, commit, columns, groups)
        if groups is None and table.num_rows != commit.rows:
            why = f"it has {table.num_rows} rows, but its commit says {commit.rows}"
            raise DamagedFile(self.store.uri(commit.shard), why)
        expected = self.identity.schema.names if columns is None else columns
        refuse_damaged_rows(table, expected, self.store.uri(commit.shard))
        return table

    def group_rows_of(self, commit: Commit) -> list[int]:
        """How many rows each row group of a shard has. Raises: as `tables`."""
        with self._told_if_replaced():
            return shard_group_rows(self.store, commit)

    def memory_bytes_of(self, commit: Commit) -> int:
        """The bytes that a shard's rows take in memory, from its footer alone. Raises: as `tables`."""
        with self._told_if_replaced():
            return shard_memory_bytes(self.store, commit)

    def _refuse_lost_commits(self) -> None:
        """Raises: DamagedFile if fewer rows count than when the run ended, as in a copy without `_commits/`.

        Shards without their commits look like leftovers of a killed run, and `gc` would remove them.
        """
        left = (self.record.ended or {}).get("left", self.left)
        if self.left > left:
            raise DamagedFile(
                f"{self.store.url}/_commits",
                f"run {self.record.run} ended with {self.images - left:,} rows, but the commits that are "
                f"there count {self.rows:,}",
            )

    @contextmanager
    def _told_if_replaced(self) -> Iterator[None]:
        """Says which run has removed a file that the block does not find."""
        try:
            yield
        except StoreError as fault:
            later = _later_record(self.store, self.record, fault)
            raise SamLabelError(
                f"run {later.run} has replaced a file that was to be read ({fault}); open the dataset again"
            ) from fault


_MAKE_ONE = "sam-label run INPUT OUTPUT makes one"


def _why_there_is_none(store: Store) -> str:
    """The sentence for a place without a run record: what is there instead, and what to do."""
    if next(store.list("data"), None) is not None:
        return (
            f"{store.url} holds data/ but lacks _runs/ and _commits/, which say which shards count; copy "
            "the whole dataset, or read the Parquet files directly"
        )
    if next(store.list("_lock"), None) is not None:
        return (
            f"{store.url} has no rows yet: a run has just begun there, or was killed as it began; try again "
            "later, or run it again"
        )
    return f"{store.url} holds no dataset; {_MAKE_ONE}"


def _refuse_newer(store: Store, recorded: int = 0) -> None:
    """Raises: UsageError if the dataset has a newer schema than this release knows.

    The version stands in dataset.json too, since this release may be unable to read a newer run record.
    """
    try:
        version = max(recorded, int(json.loads(store.read(DATASET))["schema_version"]))
    except (ValueError, KeyError, TypeError):
        version = recorded  # a copy for people; the run record is what counts
    except StoreError as fault:
        if fault.reason is not Reason.SOURCE_MISSING:
            raise
        version = recorded
    if version > SCHEMA_VERSION:
        raise UsageError(
            f"{store.url} has schema version {version}, and this sam-label reads up to {SCHEMA_VERSION}; "
            "install a newer one"
        )


def _later_record(store: Store, record: RunRecord, missing: StoreError) -> RunRecord:
    """The record of the later run that removed the missing file. Raises: DamagedFile if there is none."""
    if missing.reason is not Reason.SOURCE_MISSING:
        raise missing
    later = current_record(store)
    if later is None or later.run == record.run:
        raise DamagedFile(store.url, f"a file that run {record.run} counts is gone: {missing}") from missing
    return later
