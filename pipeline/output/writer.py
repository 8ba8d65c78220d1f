"""Opens an output to write it: refuses what does not belong together, takes the lock, switches, sweeps.

Every change of a dataset takes the same steps (infra/adr/0006): hold the lock, write files named for the new
run, and create the run record. From that moment these files count, and files of earlier runs that the record
does not name are leftovers.
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from pipeline.errors import OutputLocked, StoreError, UsageError
from pipeline.metrics.report import RunReport
from pipeline.output.closing import close_run
from pipeline.output.commits import Commit, RunRecord, moment_of
from pipeline.output.dataset import Dataset
from pipeline.output.forget import forget_rows
from pipeline.output.format.duplicates import Duplicate, write_duplicates
from pipeline.output.format.identity import Identity
from pipeline.output.format.manifest import ManifestRow, rows_of, sorted_rows, write_manifest
from pipeline.output.format.names import DATASET, record_name
from pipeline.output.format.schema import file_metadata
from pipeline.output.kept_log import kept_log
from pipeline.output.lock import Lock, held_lock
from pipeline.output.made_with import made_with
from pipeline.output.refresh import Refreshed
from pipeline.output.row_search import row_search
from pipeline.output.usable import log_strangers, output_fault, refuse_strangers
from pipeline.progress import Steps, silent_steps, told
from pipeline.shutdown import in_the_time_left
from pipeline.store.storage import Store

if TYPE_CHECKING:
    from pipeline.output.sink import ShardSink

_log = logging.getLogger("sam_label.output")
CLOSE_S = 5.0  # of the 30 s that an interrupted run has; the next run does what this one did not


@dataclass(frozen=True)
class Listing:
    """What a dataset is made of, and how to list it."""

    source: str  # the input's URL as `Location` writes it; a dataset recognizes its input by it
    rows: Callable[[], Iterable[ManifestRow]]
    duplicates: Callable[[], Iterable[Duplicate]] = tuple  # whose bytes another has; called after `rows`
    listed_with: Mapping[str, Any] = field(default_factory=dict)  # options of the input not at their defaults
    filtered_from: str | None = None  # which rows are filtered into the output; no others are mixed in
    on_step: Steps = silent_steps  # told how far the work on the listed images is


@dataclass(frozen=True)
class OutputRun:
    """An output that only this process may write to."""

    dataset: Dataset  # as it was when the run began
    lock: Lock

    @property
    def store(self) -> Store:
        return self.dataset.store

    @property
    def run(self) -> str:
        """The name of this run; another one may be current by now, whose name no file of ours may have."""
        return self.lock.run

    def check(self) -> None:
        """Raises as `Lock.check` if another run has taken the output over."""
        self.lock.check()

    def sink(self, images: int | None = None) -> "ShardSink":
        """The sink for labelled rows; `images` is how many the run will label, if not all that are left."""
        # Imports Ray, which the commands that only rewrite shards do not need.
        from pipeline.output.sink import ShardSink, rows_a_shard

        identity = self.dataset.identity
        metadata = file_metadata(identity.described(), self.run)
        left = self.dataset.left if images is None else images
        rows = rows_a_shard(left)
        return ShardSink(self.store, self.lock.generation, self.lock.word, metadata, identity.schema, rows)


@contextmanager
def open_output(
    store: Store,
    identity: Identity,
    listing: Listing,
    *,
    refresh: bool = False,
    overwrite: bool = False,
    settings: Mapping[str, Any] | None = None,
    report: RunReport | None = None,
) -> Iterator[OutputRun]:
    """The output of a labelling run, until the end of the block; lists the input only if it has to.

    Raises: UsageError for an output that holds something else, OutputLocked.
    """
    source, filtered_from = listing.source, listing.filtered_from
    at_first = dataset_to_resume(store, identity, source, overwrite, filtered_from)
    known = at_first.commits if at_first else ()
    purpose = "overwrite" if overwrite else "refresh" if refresh else "label"
    with held_lock(store) as lock:
        # Another run may have changed the dataset before the lock was taken.
        before = None if overwrite else _resumable(store, identity, source, filtered_from, known)
        if overwrite:
            log_strangers(store)
        if before is not None and not refresh:
            record = before.record.next(lock.run, purpose, before.commit_names, settings)
        else:
            record = _listed(store, lock, before, identity, listing, purpose, settings or {})
        record = replace(record, identity=identity, filtered_from=filtered_from)
        with switched(store, lock, record, before.commits if before else (), report) as output:
            yield output


@contextmanager
def switched(
    store: Store,
    lock: Lock,
    record: RunRecord,
    known: Sequence[Commit] = (),
    report: RunReport | None = None,
) -> Iterator[OutputRun]:
    """Makes the record the current one now, and closes its run at the end of the block.

    `known` are commits that need not be read again. `report` gets the run's name, and goes into the record.
    """
    lock.refuse_if_lost()
    if not store.create(record_name(record.run), record.to_json()):
        raise OutputLocked(f"run {record.run} exists already in {store.url}; run again")
    publish_dataset_json(store, record)
    report = report or RunReport(store.url)
    report.run = record.run
    with kept_log(store, record.run, report.log) as log:
        close = partial(close_run, store, lock, record, known, report, log)
        try:
            yield OutputRun(Dataset.in_store(store, known), lock)
        except BaseException as fault:
            in_the_time_left(partial(close, fault), CLOSE_S)
            raise
        close(None)


def dataset_to_resume(
    store: Store, identity: Identity, source: str, overwrite: bool, filtered_from: str | None = None
) -> Dataset | None:
    """The dataset that a run goes on with, None if it begins a new one.

    Raises: UsageError if the output holds another dataset, only other files, or cannot be read.
    """
    if not store.is_writable:
        raise UsageError(f"{store.url} can only be read; name a folder or an s3:// prefix for the output")
    try:
        dataset = None if overwrite else _resumable(store, identity, source, filtered_from)
        if dataset is None:
            refuse_strangers(store)
    except StoreError as fault:
        raise output_fault(fault) from fault
    return dataset


def _resumable(
    store: Store,
    identity: Identity,
    source: str,
    filtered_from: str | None,
    known: Iterable[Commit] = (),
) -> Dataset | None:
    """The dataset to go on with; None if there is none, or one that differs but has no row yet."""
    dataset = Dataset.in_store_or_none(store, known)
    if dataset is None:
        return None
    if dataset.identity.fingerprint != identity.fingerprint:
        differences = ", ".join(identity.differences(dataset.identity))
        fault = f"was made with {differences}; use the same settings to continue,"
    elif dataset.record.input != source:
        fault = f"holds masks of {dataset.record.input}, not of {source}; name the same input to continue,"
    elif filtered_from and dataset.record.filtered_from != filtered_from:
        theirs = dataset.record.filtered_from
        rows = f"filtered from {theirs}" if theirs else "of a run"
        fault = (
            f"holds rows {rows}, not rows filtered from {filtered_from} (a refresh, retry or overwrite of "
            "the input, or a new dataset in its place, begins another set of rows); name"
        )
    else:
        return dataset
    if not dataset.rows:
        return None
    raise UsageError(f"{store.url} {fault} another output to keep both, or give --overwrite to start over")


def _listed(
    store: Store,
    lock: Lock,
    before: Dataset | None,
    identity: Identity,
    listing: Listing,
    purpose: str,
    settings: Mapping[str, Any],
) -> RunRecord:
    """The record of a run that lists the input: for a new dataset, or to update the one before."""
    rows = sorted_rows(listing.rows())
    if before is None:
        parts, images = _written_manifest(store, lock, rows, listing.on_step)
        record = RunRecord(
            lock.run,
            purpose,
            identity,
            listing.source,
            parts,
            images,
            settings=dict(settings),
            made_with=made_with(),
            grown_since=moment_of(lock.run),
        )
    else:
        record = _refreshed(before, lock, rows, settings, listing.on_step)
    parts, images = write_duplicates(store, lock.run, listing.duplicates())
    return replace(record, duplicates=parts, duplicate_images=images, listed_with=dict(listing.listed_with))


def _written_manifest(
    store: Store, lock: Lock, rows: Iterable[ManifestRow], on_step: Steps
) -> tuple[tuple[str, ...], int]:
    """Writes the new manifest; returns its parts, and how many images it names."""
    images = 0

    def counted() -> Iterator[ManifestRow]:
        nonlocal images
        for row in rows:
            lock.check()  # the next part may have the name of another run's
            images += 1
            yield row

    parts = write_manifest(store, lock.run, told(counted(), partial(on_step, "images noted in the output")))
    return tuple(parts), images


def _refreshed(
    before: Dataset, lock: Lock, listed: Iterable[ManifestRow], settings: Mapping[str, Any], on_step: Steps
) -> RunRecord:
    """The record of a run whose manifest is updated from the input, without the rows of changed images."""
    with row_search([before]) as search:
        old, left = rows_of(before.manifest()), rows_of(before.pending())
        merged = Refreshed(old, listed, left, search.images.add_one)
        parts, images = _written_manifest(before.store, lock, merged.rows(), on_step)
        changed = search.found()
    standing, forgotten = forget_rows(before, lock.run, changed, partial(on_step, "rows checked"))
    _log.info(
        "refreshed: %d new images, %d changed (%d rows to label again), %d gone from the input but kept",
        merged.added,
        merged.changed,
        forgotten,
        merged.gone,
    )
    counts = {"added": merged.added, "changed": merged.changed, "gone": merged.gone}
    record = before.record.next(
        lock.run, "refresh", standing, {**settings, "found": counts}, only_grows=False
    )
    return replace(record, manifest=parts, images=images)


def publish_dataset_json(store: Store, record: RunRecord) -> None:
    """Writes a copy of the identity for people and other tools; the run record is what counts."""
    description = {"format": "sam-label", "input": record.input, **record.identity.described()}
    data = json.dumps(description, indent=1).encode()
    if store.info(DATASET) is None or store.read(DATASET) != data:
        store.publish(DATASET, data)
