"""Checks by ids that every image of a dataset's manifest has one row, and no other image has one.

The ids are compared through files on the local disk, so memory is a few bits an image.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from pipeline.errors import DamagedFile, SamLabelError, StoreError
from pipeline.output.commits import Commit
from pipeline.output.dataset import Dataset
from pipeline.output.format.duplicates import read_duplicates
from pipeline.output.format.manifest import read_manifest
from pipeline.output.format.parquet import parquet_table
from pipeline.output.id_ranges import IdRanges, RangedIds
from pipeline.output.ids import Ids, is_among, packed_ids
from pipeline.output.lock import Holder
from pipeline.output.marks import Marks
from pipeline.output.shards import read_shard


class IdCheck:
    """Compares a dataset's rows with its manifest: `add` every shard, then ask for the `faults`."""

    def __init__(self, dataset: Dataset, ranges: IdRanges) -> None:
        self._dataset, self._ranges = dataset, ranges
        self._rows = ranges.of_kind("rows")
        self._commits: list[Commit] = []
        self._sizes: list[int] = []

    def add(self, commit: Commit, ids: Ids) -> None:
        """Adds the ids of a shard's rows."""
        self._rows.add(ids)
        self._commits.append(commit)
        self._sizes.append(ids.size)

    def faults(self, writer: Holder | None = None) -> Iterator[str]:
        """Images with two rows, images without a row, and rows whose image the manifest lacks.

        While a run writes, or if a shard was not added because it cannot be read, all images without a row
        are one fault: their rows are still to come, or to be restored.
        Raises: StoreError, DamagedFile, after the faults that were found before the damage.
        """
        dataset, ranges = self._dataset, self._ranges
        listed, named = ranges.of_kind("listed"), ranges.of_kind("named by duplicates")
        store, record = dataset.store, dataset.record
        listed_sizes, manifest_fault = _added(read_manifest(store, record.manifest), listed)
        named_sizes, duplicates_fault = _added(read_duplicates(store, record.duplicates), named)
        twice, unlisted = Marks(self._sizes), Marks(self._sizes)
        missing, unknown = Marks(listed_sizes), Marks(named_sizes)
        for number in range(ranges.count):
            rows, images, others = self._rows.of(number), listed.of(number), named.of(number)
            sorted_rows, sorted_images = np.sort(rows["id"]), np.sort(images["id"])
            repeated = sorted_rows[1:][sorted_rows[1:] == sorted_rows[:-1]]
            twice.set(rows["place"][is_among(rows["id"], repeated)])
            unlisted.set(rows["place"][~is_among(rows["id"], sorted_images)])
            missing.set(images["place"][~is_among(images["id"], sorted_rows)])
            unknown.set(others["place"][~is_among(others["id"], sorted_images)])
        for shard, uri in self._marked_rows(twice):
            yield f"{uri} has more than one row, one of them in {shard}"
        yield from self._without_row(missing, writer)
        if manifest_fault:
            raise manifest_fault
        if listed.size != dataset.images:
            yield f"the manifest has {listed.size} images, but run {dataset.record.run} says {dataset.images}"
        for uri in self._marked_uris(dataset.record.duplicates, unknown):
            yield f"{uri} is a duplicate of an image that the manifest lacks"
        if duplicates_fault:
            raise duplicates_fault
        for shard, uri in self._marked_rows(unlisted):
            yield f"{uri} in {shard} is not in the manifest"

    def _without_row(self, missing: Marks, writer: Holder | None) -> Iterator[str]:
        uris = self._marked_uris(self._dataset.record.manifest, missing)
        go_on = "run the same sam-label run again"
        if self._dataset.record.is_merged:
            go_on = "finish the runs that were merged, then run the same sam-label merge again"
        unread = len(self._dataset.commits) - len(self._commits)
        if unread:
            count, shards = sum(1 for _ in uris), "a shard that" if unread == 1 else f"{unread:,} shards that"
            if count:
                yield f"the rows of {count:,} images are missing, or are in {shards} cannot be read"
        elif writer is None:
            yield from (f"{uri} has no row; {go_on}" for uri in uris)
        elif first := next(uris, None):
            count, process = 1 + sum(1 for _ in uris), writer.process
            images = f"{first} has" if count == 1 else f"{count:,} images, one of them {first}, have"
            yield (
                f"{images} no row yet: process {process.pid} on {process.host} is writing; wait for it, "
                f"or, if it was killed, {go_on}"
            )

    def _marked_rows(self, marks: Marks) -> Iterator[tuple[str, str]]:
        """The shard and the uri of every marked row."""
        for commit, is_marked in zip(self._commits, marks, strict=True):
            if is_marked.any():
                uris = read_shard(self._dataset.store, commit, ["uri"])["uri"].filter(pa.array(is_marked))
                yield from ((commit.shard, uri) for uri in uris.to_pylist())

    def _marked_uris(self, parts: Sequence[str], marks: Marks) -> Iterator[str]:
        """The uri of every marked row of the parts that could be read."""
        store = self._dataset.store
        for part, is_marked in zip(parts, marks, strict=False):
            if is_marked.any():
                table = parquet_table(store.read(part), store.uri(part), ["uri"])
                yield from table["uri"].filter(pa.array(is_marked)).to_pylist()


def _added(tables: Iterable[pa.Table], ids: RangedIds) -> tuple[list[int], SamLabelError | None]:
    """Adds the ids of the parts; returns the number of rows in each, and the error that ended it early."""
    sizes: list[int] = []
    try:
        for table in tables:
            ids.add(packed_ids(table["image_id"]))
            sizes.append(table.num_rows)
    except (StoreError, DamagedFile) as fault:
        return sizes, fault
    return sizes, None
