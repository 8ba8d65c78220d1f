"""Whether a dataset keeps its promises: one row for every image of the manifest, and every mask sound.

Reads everything, a shard at a time, and keeps 16 bytes an image in memory. A problem names its shard and
image. Files that are not a dataset's are not looked at.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from pipeline.errors import DamagedFile, SamLabelError, StoreError
from pipeline.output.commands.row_check import row_faults
from pipeline.output.commits import Commit, current_record
from pipeline.output.dataset import Dataset
from pipeline.output.format.schema import rows_of_batch
from pipeline.output.ids import Ids, is_among, packed_ids
from pipeline.output.lock import current_holder
from pipeline.output.shards import read_shard, shard_metadata
from pipeline.output.sweep import orphans
from pipeline.store.storage import Store

MOST_LISTED = 1000  # a dataset that is wrong throughout needs no longer list

Shards = list[tuple[Commit, Ids]]  # those that can be read, with the ids of their rows


@dataclass
class Validation:
    """The result of `sam-label validate`."""

    output: str
    images: int
    labelled: int
    failed: int
    masks: int
    problems: list[str] = field(default_factory=list)  # the first MOST_LISTED
    problem_count: int = 0

    @property
    def is_valid(self) -> bool:
        return self.problem_count == 0

    def add(self, problem: str) -> None:
        self.problem_count += 1
        if len(self.problems) < MOST_LISTED:
            self.problems.append(problem)


def validate(output: str) -> Validation:
    """Every broken promise of the dataset. Raises: UsageError if there is no dataset, StoreError."""
    store = Store.at(output)
    dataset = Dataset.in_store(store)
    validation = Validation(store.url, dataset.images, dataset.labelled, dataset.failed, dataset.masks)
    _add_all(validation, _dataset_json_faults(dataset))
    shards: Shards = []
    for commit in dataset.commits:
        _add_all(validation, _shard_faults(dataset, commit, shards))
    _add_all(validation, _identity_faults(dataset, shards))
    _add_all(validation, _leftovers(dataset))
    later = current_record(store)
    if not validation.is_valid and later and later.run != dataset.record.run:
        raise SamLabelError(f"{store.url} was changed by run {later.run} meanwhile; validate it again")
    return validation


def _add_all(validation: Validation, problems: Iterator[str]) -> None:
    try:
        for problem in problems:
            validation.add(problem)
    except (StoreError, DamagedFile) as fault:
        validation.add(str(fault))


def _dataset_json_faults(dataset: Dataset) -> Iterator[str]:
    theirs, ours = _fingerprint(dataset.store.read("dataset.json")), dataset.identity.fingerprint
    if theirs != ours:
        yield f"dataset.json has the fingerprint {theirs}, run {dataset.record.run} has {ours}"


def _shard_faults(dataset: Dataset, commit: Commit, shards: Shards) -> Iterator[str]:
    """What is wrong within one shard; it joins `shards` if its ids can be read."""
    table = read_shard(dataset.store, commit)
    if not table.schema.equals(dataset.identity.schema):
        yield f"{commit.shard} does not have the schema of version {dataset.identity.schema_version}"
        return
    try:
        shards.append((commit, packed_ids(table["image_id"])))
    except ValueError as fault:
        yield f"{commit.shard} has an image_id that is not 32 hex characters ({fault})"
    theirs = _fingerprint(shard_metadata(dataset.store, commit).get(b"sam_label", b""))
    if theirs != dataset.identity.fingerprint:
        yield f"{commit.shard} has the fingerprint {theirs}, not the dataset's"
    counted = Commit.of(commit.name, table, commit.bytes)
    if (counted.rows, counted.failed, counted.masks) != (commit.rows, commit.failed, commit.masks):
        yield f"{commit.shard} has {counted.rows} rows and {counted.masks} masks, its commit says otherwise"
    for batch in table.to_batches(max_chunksize=64):  # as Python values the masks of a shard are large
        for row in rows_of_batch(batch):
            for clause in row_faults(row):
                yield f"{row['uri']} in {commit.shard}: {clause}"


def _fingerprint(text: bytes) -> str | None:
    """The fingerprint in a JSON object; None if it has none, or if the text is no JSON object."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value.get("fingerprint") if isinstance(value, dict) else None


def _identity_faults(dataset: Dataset, shards: Shards) -> Iterator[str]:
    """Images with two rows, images without a row, and rows of images that the manifest lacks."""
    ids = np.sort(np.concatenate([np.zeros(0, dtype="S16"), *(ids for _, ids in shards)]))
    twice = np.unique(ids[1:][ids[1:] == ids[:-1]])
    for shard, uri in _rows_with(dataset, shards, twice):
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
    for duplicates in dataset.duplicates():
        is_known = is_among(packed_ids(duplicates["image_id"]), promised)
        for uri in duplicates["uri"].filter(pa.array(~is_known)).to_pylist():
            yield f"{uri} is a duplicate of an image that the manifest lacks"
    for shard, uri in _rows_with(dataset, shards, ids[~is_among(ids, promised)]):
        yield f"{uri} in {shard} is no image of the manifest"


def _rows_with(dataset: Dataset, shards: Shards, sorted_ids: Ids) -> Iterator[tuple[str, str]]:
    """The shard and the uri of every row that has one of the ids."""
    for commit, ids in shards:
        chosen = is_among(ids, sorted_ids)
        if chosen.any():
            uris = read_shard(dataset.store, commit, ["uri"])["uri"].filter(pa.array(chosen))
            yield from ((commit.shard, uri) for uri in uris.to_pylist())


def _leftovers(dataset: Dataset) -> Iterator[str]:
    """Files that a plain glob would read too; none while a run is alive, since it may still commit them."""
    holder = current_holder(dataset.store)
    if holder is None or holder.process.is_dead_here:
        for entry, _ in orphans(dataset.store, dataset.record, dataset.commit_names):
            yield f"{entry.name} is no part of the dataset; sam-label gc removes it"
