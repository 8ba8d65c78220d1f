"""Opening an output to write it: refuse what does not belong together, take the lock, switch, sweep.

Everything that changes a dataset has one shape (infra/adr/0006): hold the lock, write files named for the new
run, and create the run record. From that moment they count, and what the record does not name is garbage.
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import OutputLocked, StoreError, UsageError
from pipeline.output.commits import Commit, RunRecord, now, record_name, run_id
from pipeline.output.dataset import Dataset, Ids
from pipeline.output.forget import forget_rows
from pipeline.output.format.identity import Identity
from pipeline.output.format.manifest import ManifestRow, rows_of, sorted_rows, write_manifest
from pipeline.output.format.schema import file_metadata
from pipeline.output.lock import Lock, held_lock, output_fault, refuse_if_overtaken
from pipeline.output.refresh import Refreshed
from pipeline.output.sweep import sweep
from pipeline.shutdown import in_the_time_left
from pipeline.store.disk import TEMPORARY
from pipeline.store.storage import Store

if TYPE_CHECKING:
    from pipeline.output.sink import ShardSink

_log = logging.getLogger("sam_label.output")
_OURS = ("dataset.json", "manifest/", "data/", "_commits/", "_runs/", "_lock/", TEMPORARY)
CLOSE_S = 5.0  # of the 30 s that an interrupted run has; the next run does what this one did not
Listing = Callable[[], Iterable[ManifestRow]]


@dataclass(frozen=True)
class OutputRun:
    """An output that this process alone may write to."""

    dataset: Dataset  # as the run found it: what it counts as done
    lock: Lock

    @property
    def store(self) -> Store:
        return self.dataset.store

    @property
    def run(self) -> str:
        return self.dataset.record.run

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the manifest, to read where the images are labelled."""
        return self.dataset.record.manifest

    @cached_property
    def done_ids(self) -> Ids:
        """The sorted ids of the images that need no labelling."""
        return self.dataset.done_ids()

    def check(self) -> None:
        """Raises OutputLocked where another run has taken the output over."""
        self.lock.check()

    def sink(self, images: int | None = None) -> "ShardSink":
        """Where the labelled rows go; `images` is how many the run will label, if not all that are left."""
        from pipeline.output.sink import ShardSink, rows_a_shard  # what only rewrites shards needs no Ray

        metadata = file_metadata(self.dataset.identity.described(), self.run)
        left = self.dataset.left if images is None else images
        return ShardSink(self.store, self.lock.generation, metadata, rows_a_shard(left))


@contextmanager
def open_output(
    store: Store,
    identity: Identity,
    source: str,
    listing: Listing,
    *,
    refresh: bool = False,
    overwrite: bool = False,
    settings: Mapping[str, Any] | None = None,
    filtered_from: str | None = None,
) -> Iterator[OutputRun]:
    """The output of a labelling run, until the end of the block; the input is listed only where it has to be.

    `source` is the input's URL as `Location` writes it, by which a dataset knows its own input again;
    `filtered_from` names the rows that are filtered into it; those of another name are not mixed in.
    Raises: UsageError for an output that holds something else, OutputLocked.
    """
    found = dataset_to_resume(store, identity, source, overwrite, filtered_from)
    known = found.commits if found else ()
    with held_lock(store) as lock:  # another run may have come in meanwhile
        before = None if overwrite else _resumable(store, identity, source, filtered_from, known)
        purpose = "overwrite" if overwrite else "refresh" if refresh else "label"
        said = dict(settings or {})
        run = run_id(lock.generation)
        draft = RunRecord(
            run,
            purpose,
            identity,
            source,
            manifest=(),
            images=0,
            settings=said,
            grown_since=run,
            filtered_from=filtered_from,
        )
        if before is None:
            record = _with_manifest(store, draft, sorted_rows(listing()))
        elif refresh:
            record = _refreshed(before, draft, sorted_rows(listing()))
        else:
            record = replace(
                draft,
                manifest=before.record.manifest,
                images=before.record.images,
                started_from=tuple(commit.name for commit in before.commits),
                grown_since=before.record.grown_since,
            )
        with switched(store, lock, record, before.commits if before else ()) as output:
            yield output


@contextmanager
def switched(
    store: Store, lock: Lock, record: RunRecord, known: Sequence[Commit] = ()
) -> Iterator[OutputRun]:
    """The run whose record becomes the current one here; at the end of the block it is closed.

    `known` are commits that need not be read again.
    """
    refuse_if_overtaken(store, lock.generation)
    if not store.create(record_name(record.run), record.to_json()):
        raise OutputLocked(f"run {record.run} exists already in {store.url}; run again")
    _publish_dataset_json(store, record)
    try:
        yield OutputRun(Dataset.in_store(store, known), lock)
    except BaseException as fault:
        how = type(fault).__name__
        in_the_time_left(lambda: _close(store, lock, record, how, known), CLOSE_S)
        raise
    _close(store, lock, record, "finished", known)


def dataset_to_resume(
    store: Store, identity: Identity, source: str, overwrite: bool, filtered_from: str | None = None
) -> Dataset | None:
    """The dataset that a run goes on with, None where it begins one.

    Raises: UsageError where the output holds another dataset or other files, or cannot be read.
    """
    if not store.is_writable:
        raise UsageError(f"{store.url} can only be read; name a folder or an s3:// prefix for the output")
    try:
        found = None if overwrite else _resumable(store, identity, source, filtered_from)
        is_ours = found is not None or next(store.list("_runs"), None) is not None
    except StoreError as fault:
        raise output_fault(fault) from fault
    if not is_ours:
        names = (entry.name for page in store.list() for entry in page)
        stranger = next((name for name in names if not name.startswith(_OURS)), None)
        if stranger is not None:
            raise UsageError(
                f"{store.url} holds other files ({stranger}); name a new or an empty place for the output"
            )
    return found


def _resumable(
    store: Store,
    identity: Identity,
    source: str,
    filtered_from: str | None,
    known: Iterable[Commit] = (),
) -> Dataset | None:
    """The dataset to go on with, None where there is none, or another one without a row."""
    found = Dataset.in_store_or_none(store, known)
    if found is None:
        return None
    if found.identity.fingerprint != identity.fingerprint:
        differences = ", ".join(identity.differences(found.identity))
        fault = f"was made with {differences}; use the same settings to go on,"
    elif found.record.input != source:
        fault = f"holds the masks of {found.record.input}, not of {source}; name the same input to go on,"
    elif filtered_from and found.record.filtered_from != filtered_from:
        rows = f"filtered from {found.record.filtered_from}" if found.record.filtered_from else "of a run"
        fault = (
            f"holds rows {rows}, not filtered from {filtered_from} (a refresh, retry or overwrite there "
            "begins another set of rows); name"
        )
    else:
        return found
    if not found.rows:
        return None
    raise UsageError(f"{store.url} {fault} another output to keep both, or --overwrite to start it anew")


def _with_manifest(store: Store, draft: RunRecord, rows: Iterable[ManifestRow]) -> RunRecord:
    images = 0

    def counted() -> Iterator[ManifestRow]:
        nonlocal images
        for row in rows:
            images += 1
            yield row

    parts = write_manifest(store, draft.run, counted())
    return replace(draft, manifest=tuple(parts), images=images)


def _refreshed(before: Dataset, draft: RunRecord, listed: Iterable[ManifestRow]) -> RunRecord:
    merged = Refreshed(rows_of(before.manifest()), listed)
    record = _with_manifest(before.store, draft, merged.rows())
    changed = pa.array(merged.changed_ids, pa.string())
    standing, forgotten = forget_rows(
        before, draft.run, ["image_id"], lambda table: pc.is_in(table["image_id"], value_set=changed)
    )
    _log.info(
        "refreshed: %d new images, %d changed (%d rows to label again), %d gone from the input but kept",
        merged.added,
        len(merged.changed_ids),
        forgotten,
        merged.gone,
    )
    found = {"added": merged.added, "changed": len(merged.changed_ids), "gone": merged.gone}
    return replace(record, started_from=standing, settings={**draft.settings, "found": found})


def _publish_dataset_json(store: Store, record: RunRecord) -> None:
    """A copy of the identity for people and other tools; the run record is what counts."""
    said = {"format": "sam-label", "input": record.input, **record.identity.described()}
    data = json.dumps(said, indent=1).encode()
    if store.info("dataset.json") is None or store.read("dataset.json") != data:
        store.publish("dataset.json", data)


def _close(store: Store, lock: Lock, record: RunRecord, how: str, known: Sequence[Commit]) -> None:
    refuse_if_overtaken(store, lock.generation)
    swept = sweep(store, record)
    _log.debug("swept %d files, %d bytes", swept.files, swept.bytes)
    end = Dataset.in_store(store, known)
    counts = {"labelled": end.labelled, "failed": end.failed_by_reason, "masks": end.masks, "left": end.left}
    store.publish(
        record_name(record.run), replace(record, ended={"how": how, "at": now(), **counts}).to_json()
    )
