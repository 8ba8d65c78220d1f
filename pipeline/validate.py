"""Whether a dataset keeps its promises: one row for every image of the manifest, and every mask sound.

Reads everything, a shard at a time; 16 bytes an image stay in memory. A fault is told with its shard and
image.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from pipeline.commits import Commit
from pipeline.dataset import Dataset, Ids, is_among, packed_ids
from pipeline.errors import StoreError
from pipeline.lock import current_holder
from pipeline.row_check import row_faults
from pipeline.schema import SCHEMA
from pipeline.shards import read_shard, shard_metadata
from pipeline.storage import Store
from pipeline.sweep import orphans

MOST_TOLD = 1000  # a dataset that is wrong throughout needs no longer list


@dataclass
class Validation:
    """What `sam-label validate` found; valid where there is no problem."""

    output: str
    images: int
    labelled: int
    failed: int
    masks: int
    problems: list[str] = field(default_factory=list)  # the first MOST_TOLD
    problem_count: int = 0

    @property
    def is_valid(self) -> bool:
        return self.problem_count == 0

    def add(self, problem: str) -> None:
        self.problem_count += 1
        if len(self.problems) < MOST_TOLD:
            self.problems.append(problem)


def validate(output: str) -> Validation:
    """Every broken promise of the dataset. Raises: UsageError where there is none, StoreError."""
    store = Store.at(output)
    dataset = Dataset.in_store(store)
    found = Validation(store.url, dataset.images, dataset.labelled, dataset.failed, dataset.masks)
    _add_all(found, _dataset_json_faults(dataset))
    shard_ids = []
    for commit in dataset.commits:
        try:
            table = read_shard(store, commit)
            _add_all(found, _shard_faults(dataset, commit, table))
            shard_ids.append(packed_ids(table["image_id"]))
        except (StoreError, pa.ArrowException, KeyError, ValueError) as fault:
            found.add(f"{commit.shard} cannot be read: {fault}")
    ids = np.sort(np.concatenate([np.zeros(0, dtype="S16"), *shard_ids]))
    _add_all(found, _identity_faults(dataset, ids))
    if current_holder(store) is None:  # a live run has files that are not committed yet
        for orphan in orphans(store, dataset.record, (commit.name for commit in dataset.commits)):
            found.add(f"{orphan.name} is no part of the dataset; sam-label gc removes it")
    return found


def _add_all(found: Validation, problems: Iterator[str]) -> None:
    for problem in problems:
        found.add(problem)


def _dataset_json_faults(dataset: Dataset) -> Iterator[str]:
    try:
        said = json.loads(dataset.store.read("dataset.json"))
    except (StoreError, ValueError) as fault:
        yield f"dataset.json cannot be read: {fault}"
        return
    if said.get("fingerprint") != dataset.identity.fingerprint:
        yield (
            f"dataset.json has the fingerprint {said.get('fingerprint')}, run {dataset.record.run} has "
            f"{dataset.identity.fingerprint}"
        )


def _shard_faults(dataset: Dataset, commit: Commit, table: pa.Table) -> Iterator[str]:
    if not table.schema.equals(SCHEMA):
        yield f"{commit.shard} does not have the schema of version {dataset.identity.schema_version}"
        return
    metadata = json.loads(shard_metadata(dataset.store, commit).get(b"sam_label", b"{}"))
    if metadata.get("fingerprint") != dataset.identity.fingerprint:
        yield f"{commit.shard} has the fingerprint {metadata.get('fingerprint')}, not the dataset's"
    told = Commit.of(commit.name, table, commit.bytes)
    if (told.rows, told.failed, told.masks) != (commit.rows, commit.failed, commit.masks):
        yield f"{commit.shard} has {told.rows} rows and {told.masks} masks, its commit says otherwise"
    for batch in table.to_batches(max_chunksize=64):  # as Python values the masks of a shard take much room
        for row in batch.to_pylist():
            for fault in row_faults(row):
                yield f"{row['uri']} in {commit.shard}: {fault}"


def _identity_faults(dataset: Dataset, ids: Ids) -> Iterator[str]:
    """Images with two rows, with none, and rows of no image; `ids` are those of all rows, sorted."""
    twice = np.unique(ids[1:][ids[1:] == ids[:-1]])
    for shard, uri in _rows_with(dataset, twice):
        yield f"{uri} has more than one row, one of them in {shard}"
    parts = [np.zeros(0, dtype="S16")]
    for table in dataset.manifest():
        part = packed_ids(table["image_id"])
        parts.append(part)
        for uri in table["uri"].filter(pa.array(~is_among(part, ids))).to_pylist():
            yield f"{uri} has no row; run the same sam-label run again"
    promised = np.sort(np.concatenate(parts))
    if promised.size != dataset.images:
        yield f"the manifest has {promised.size} images, run {dataset.record.run} says {dataset.images}"
    for shard, uri in _rows_with(dataset, ids[~is_among(ids, promised)]):
        yield f"{uri} in {shard} is no image of the manifest"


def _rows_with(dataset: Dataset, sorted_ids: Ids) -> Iterator[tuple[str, str]]:
    """The shard and the uri of every row that has one of the ids."""
    if not sorted_ids.size:
        return
    for commit in dataset.commits:
        table = read_shard(dataset.store, commit, ["image_id", "uri"])
        chosen = pa.array(is_among(packed_ids(table["image_id"]), sorted_ids))
        yield from ((commit.shard, uri) for uri in table["uri"].filter(chosen).to_pylist())
