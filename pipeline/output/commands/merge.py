"""Merges several datasets into a new one, if one model with one set of options has made them all.

It writes shard by shard. If several datasets hold an image, the row of the one named first is used. Run
again, it does what is left, but refuses if a dataset has lost rows that it has read.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from pipeline.errors import UsageError
from pipeline.output.dataset import Dataset
from pipeline.output.format.duplicates import Duplicate, duplicates_of
from pipeline.output.format.manifest import ManifestRow, manifest_row, rows_of, sorted_rows
from pipeline.output.format.names import labelled
from pipeline.output.format.schema import file_metadata
from pipeline.output.row_search import rows_left
from pipeline.output.shards import write_shards
from pipeline.output.writer import Listing, open_output
from pipeline.progress import Progress, silent, told
from pipeline.store.settings import access_options
from pipeline.store.storage import Store
from pipeline.store.uri import refuse_overlap

_IMAGE, _DUPLICATE = "image", "duplicate"  # in the place of an etag, while they are sorted


@dataclass(frozen=True)
class Merged:
    """The counts of the new dataset, and how many rows of the old ones were left out."""

    images: int
    rows: int
    masks: int
    held_twice: int  # rows of images that a dataset named earlier holds too
    output: str


def merge(inputs: Sequence[str], output: str, overwrite: bool = False, progress: Progress = silent) -> Merged:
    """Writes the new dataset and returns its counts.

    Raises: UsageError if the datasets cannot be merged, OutputLocked.
    """
    datasets = [Dataset.at(url) for url in inputs]
    store = Store.at(output)
    _refuse_strangers(datasets, store)
    identity = datasets[0].identity
    sources = list(dict.fromkeys(dataset.record.input for dataset in datasets))
    origins = [f"{one.store.url} since {one.record.grown_since or 'its first run'}" for one in datasets]
    listing = Listing(
        " and ".join(sources),
        lambda: told(chain.from_iterable(rows_of(dataset.manifest()) for dataset in datasets), progress),
        lambda: _duplicates(datasets),
        merged_options([dataset.record.listed_with for dataset in datasets]),
        filtered_from=" and ".join(origins),
    )
    settings = access_options(*(dataset.record.settings for dataset in datasets))
    with open_output(store, identity, listing, overwrite=overwrite, settings=settings) as run:
        metadata = file_metadata(identity.described(), run.run)
        for number, table in rows_left(run.dataset, datasets, progress):
            run.check()
            write_shards(store, labelled(run.run, number), table, metadata)
    after = run.dataset.again()
    rows = sum(dataset.rows for dataset in datasets)
    return Merged(after.images, after.rows, after.masks, rows - after.rows, store.url)


def _duplicates(datasets: Sequence[Dataset]) -> Iterator[Duplicate]:
    """The duplicates of all datasets, each once, without those that a dataset has as an image."""
    if not any(dataset.record.duplicates for dataset in datasets):
        return
    images = (row for dataset in datasets for row in rows_of(dataset.manifest()))
    others = (one for dataset in datasets for one in duplicates_of(dataset.duplicates()))
    rows = chain(
        (manifest_row(row.uri, 0, _IMAGE) for row in images),
        (ManifestRow(other.image_id, other.uri, 0, _DUPLICATE) for other in others),
    )
    for row in sorted_rows(rows):  # which keeps the first of each uri
        if row.etag == _DUPLICATE:
            yield Duplicate(row.uri, row.image_id)


def merged_options(listed_with: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The options of several listings as one; `shard` is left out if all shards of an input are there."""
    merged: dict[str, Any] = {}
    for name in sorted({name for options in listed_with for name in options}):
        values = [options.get(name) for options in listed_with]
        if name == "shard" and None not in values and _are_all_shards({str(value) for value in values}):
            continue
        merged[name] = values[0] if values.count(values[0]) == len(values) else " and ".join(map(str, values))
    return merged


def _are_all_shards(shards: Collection[str]) -> bool:
    counts = {shard.partition("/")[2] for shard in shards}
    return len(counts) == 1 and len(shards) == int(counts.pop())


def _refuse_strangers(datasets: Sequence[Dataset], store: Store) -> None:
    """Raises UsageError if identities differ, a dataset is named twice, or the output overlaps one."""
    first, *others = datasets
    places = [dataset.store.url for dataset in datasets]
    if len(set(places)) < max(len(places), 2):
        raise UsageError(f"a merge needs two datasets or more, each named once, not {' '.join(places)}")
    for dataset in others:
        if dataset.identity.fingerprint != first.identity.fingerprint:
            differences = ", ".join(first.identity.differences(dataset.identity))
            raise UsageError(
                f"{dataset.store.url} was made with {differences} as {first.store.url}; only datasets of "
                "the same model and mask options can be merged"
            )
    for dataset in datasets:
        refuse_overlap(dataset.store.location, store.location)
