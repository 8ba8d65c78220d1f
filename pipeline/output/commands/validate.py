"""Checks what a dataset promises: one row for every image of the manifest, and every mask sound.

It reads everything, a shard at a time. Each problem names its shard and image. Files that do not belong to
the dataset are ignored.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from pipeline.errors import DamagedFile, SamLabelError, StoreError
from pipeline.output.commands.id_check import IdCheck
from pipeline.output.commands.row_check import row_faults
from pipeline.output.commands.sound_masks import without_sound_masks
from pipeline.output.commits import Commit, counts_of, current_record
from pipeline.output.dataset import Dataset
from pipeline.output.format.names import DATASET
from pipeline.output.format.schema import rows_of_batch
from pipeline.output.id_ranges import id_ranges
from pipeline.output.ids import packed_ids
from pipeline.output.lock import Holder, current_writer
from pipeline.output.shards import read_shard, shard_metadata
from pipeline.output.sweep import orphans
from pipeline.progress import Progress, silent
from pipeline.store.storage import Store
from pipeline.store.uri import redacted

ROWS_AT_ONCE = 256  # so that calls of Arrow and numpy take less time than the rows
MOST_LISTED = 1000  # enough to see that a dataset is wrong throughout


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
            self.problems.append(redacted(problem))


def validate(output: str, progress: Progress = silent) -> Validation:
    """Every broken promise of the dataset. Raises: UsageError if there is no dataset, StoreError."""
    store = Store.at(output)
    dataset = Dataset.in_store(store, may_lack_commits=True)
    writer = current_writer(store)  # asked first, since its later commits are not checked
    validation = Validation(store.url, dataset.images, dataset.labelled, dataset.failed, dataset.masks)
    _add_all(validation, _dataset_json_faults(dataset))
    with id_ranges(max(dataset.images, dataset.rows)) as ranges:
        ids = IdCheck(dataset, ranges)
        checked = 0
        for commit in dataset.commits:
            _add_all(validation, _shard_faults(dataset, commit, ids))
            checked += commit.rows
            progress(checked, dataset.rows)
        _add_all(validation, ids.faults(writer))
    _add_all(validation, _leftovers(dataset))
    if not validation.is_valid:
        _refuse_if_changed(dataset, writer)
    return validation


def _refuse_if_changed(dataset: Dataset, writer: Holder | None) -> None:
    """Raises SamLabelError if a run has changed the dataset meanwhile, which may explain the problems."""
    url, later = dataset.store.url, current_record(dataset.store)
    if later and later.run != dataset.record.run:
        raise SamLabelError(f"{url} was changed by run {later.run} during validation; validate it again")
    now = Dataset.in_store(dataset.store, dataset.commits, may_lack_commits=True)
    if writer is None and now.rows != dataset.rows:
        raise SamLabelError(f"{url} was written to during validation; validate it again")


def _add_all(validation: Validation, problems: Iterator[str]) -> None:
    try:
        for problem in problems:
            validation.add(problem)
    except (StoreError, DamagedFile) as fault:
        validation.add(str(fault))


def _dataset_json_faults(dataset: Dataset) -> Iterator[str]:
    if dataset.store.info(DATASET) is None:
        yield f"{DATASET} is not there; sam-label gc writes it again"
        return
    theirs, ours = _fingerprint(dataset.store.read(DATASET)), dataset.identity.fingerprint
    if theirs != ours:
        yield (
            f"{DATASET} has the fingerprint {theirs}, but run {dataset.record.run} has {ours}; sam-label gc "
            "writes it again"
        )


def _shard_faults(dataset: Dataset, commit: Commit, ids: IdCheck) -> Iterator[str]:
    """The faults within one shard; adds its ids to `ids` if they can be read."""
    table = read_shard(dataset.store, commit)
    if not table.schema.equals(dataset.identity.schema):
        yield f"{commit.shard} does not have the schema of version {dataset.identity.schema_version}"
        return
    try:
        ids.add(commit, packed_ids(table["image_id"]))
    except ValueError as fault:
        yield f"{commit.shard} has an image_id that is not 32 hex characters ({fault})"
    theirs = _fingerprint(shard_metadata(dataset.store, commit).get(b"sam_label", b""))
    if theirs != dataset.identity.fingerprint:
        yield f"{commit.shard} has the fingerprint {theirs}, not the dataset's"
    counted = counts_of(table)
    if any(getattr(commit, name) != count for name, count in counted.items()):
        yield f"{commit.shard} has {counted['rows']} rows and {counted['masks']} masks, unlike its commit"
    for whole in table.to_batches(max_chunksize=ROWS_AT_ONCE):
        for batch in without_sound_masks(whole):
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


def _leftovers(dataset: Dataset) -> Iterator[str]:
    """Leftovers that a plain glob would read; none while a run writes, since it may still commit them."""
    if current_writer(dataset.store) is None:
        for entry, _ in orphans(dataset.store, dataset.record, dataset.commit_names):
            yield f"{entry.name} is not part of the dataset; sam-label gc removes it"
