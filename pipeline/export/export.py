"""Writes a dataset in another tool's form: shard by shard, in bounded memory, resuming where it stopped.

The dataset is only read. An export shows it at one moment: once the dataset has other shards, an unfinished
export cannot go on.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import accumulate
from pathlib import PurePosixPath
from typing import Any

from pipeline.errors import UsageError
from pipeline.export.coco import Coco
from pipeline.export.counts import PLACELESS, Counts
from pipeline.export.destination import Destination, Mark
from pipeline.export.form import Form, NothingToExport, Part
from pipeline.export.geojson import GeoJson
from pipeline.export.geopackage import GeoPackage
from pipeline.export.images import placed, refuse_impossible
from pipeline.export.lance import Lance, lance_schema
from pipeline.export.png import Png
from pipeline.export.record import Record, Selection, common_folder
from pipeline.export.sa1b import Sa1b
from pipeline.export.webdataset import WebDataset
from pipeline.export.where import parsed_where
from pipeline.export.yolo import Yolo
from pipeline.export_config import FILE_FORMATS, ON_EARTH, ExportConfig
from pipeline.output.commits import Commit
from pipeline.output.dataset import Dataset
from pipeline.output.format.schema import SCHEMA
from pipeline.progress import Progress, silent
from pipeline.store.settings import recorded_access
from pipeline.store.uri import Location, redacted, refuse_overlap
from sam_core import __version__


@dataclass(frozen=True)
class Exported:
    """The result of an export; `is_new` says whether this command has written any of it."""

    dest: str
    format: str
    images_as: str
    counts: Counts
    unlabelled: int  # images that the dataset has no row for yet
    duplicates: int  # images without a row, since another one has the same bytes
    is_new: bool


def exported(config: ExportConfig, progress: Progress = silent) -> Exported:
    """The export, written to its end.

    Raises: UsageError for what cannot be exported so, StoreError, DamagedFile.
    """
    where = parsed_where(config.where) if config.where is not None else None
    dataset = Dataset.at(config.output)
    destination = Destination.at(config.dest)
    inputs = dataset.record.inputs
    for kept in (dataset.store.location, *(Location(*url.split("://", 1)) for url in inputs)):
        refuse_overlap(kept, destination.location)
    form = _form(config, dataset, destination)
    images_as = config.images or form.images_as[0]
    refuse_impossible(form, config.format, images_as, destination.store, inputs)
    destination.begin(_asked(config, dataset, images_as), form.claim())
    duplicates = dataset.record.duplicate_images
    result = Exported(
        destination.url, config.format, images_as, Counts(), dataset.left, duplicates, is_new=True
    )
    done = destination.done()
    if done is not None:
        destination.tidy(form.claim())
        return replace(result, counts=done, is_new=False)
    # Vectors are most of a shard's bytes, and only Lance has columns for them.
    has_vectors = dataset.identity.mask_options.mask_embeddings
    reading, access = dataset.identity.reading, recorded_access(dataset.record.settings)
    columns = SCHEMA.names if has_vectors and config.format != "lance" else None
    on_earth = config.format in ON_EARTH
    selection = Selection(common_folder(inputs), where, config.shares, config.seed, on_earth)
    rows = dataset.rows
    marks = destination.marks()
    for part, commit, first_row, first_mask in _parts(dataset, destination):
        if part.number not in marks:
            table = dataset.rows_of(commit, columns)
            records = selection.records(table, first_row, first_mask, part.counts)
            shown = _shown(records, progress, first_row, rows)
            form.write(part, placed(shown, part, form, images_as, reading, access))
            marks[part.number] = Mark(part.counts, part.kept)
            destination.mark(part.number, marks[part.number])
        progress(first_row + commit.rows, rows)
    last = Part(len(marks), destination.store)
    for mark in marks.values():
        last.counts.add(mark.counts)
    try:
        _refuse_none(config.format, form, last.counts)
        form.end(last, {number: mark.kept for number, mark in marks.items()})
    except NothingToExport:
        destination.forget(form.claim())
        raise
    destination.end(last.counts)
    destination.tidy(form.claim())
    return replace(result, counts=last.counts)


def _form(config: ExportConfig, dataset: Dataset, destination: Destination) -> Form:
    fitting = FILE_FORMATS.get(PurePosixPath(destination.file).suffix)
    if fitting and config.format != fitting:
        raise UsageError(
            f"--format {config.format} does not write the file {destination.url}; choose another "
            f"destination, or give --format {fitting}"
        )
    splits = tuple(config.shares) or ("",)
    match config.format:
        case "coco":
            info = {
                "description": "masks by sam-label",
                "version": __version__,
                **dataset.identity.described(),
            }
            return Coco(destination, splits, info)
        case "sa1b":
            return Sa1b()
        case "yolo":
            return Yolo(splits)
        case "png":
            return Png()
        case "webdataset":
            return WebDataset()
        case "geojson":
            return GeoJson()
        case "geopackage":
            return GeoPackage(destination, splits)
        case "lance":
            return Lance(destination, lance_schema(dataset.identity.schema))


def _refuse_none(form_name: str, form: Form, counts: Counts) -> None:
    """Raises NothingToExport if no image could be exported, although some were asked for."""
    if counts.images:
        return
    if counts.unavailable:
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in counts.unavailable.most_common())
        refer = ", or give --images reference" if "reference" in form.images_as else ""
        raise NothingToExport(
            f"no image can be copied ({reasons}), so there is nothing to export; restore the images as they "
            f"were when labelled{refer}"
        )
    if counts.lost[PLACELESS]:
        raise NothingToExport(
            "no image to export has a transform and an EPSG code, as GeoTIFFs have, so --format "
            f"{form_name} has nothing to write; --format coco writes the masks in pixels"
        )


def _asked(config: ExportConfig, dataset: Dataset, images_as: str) -> dict[str, Any]:
    """What identifies an export: a command with the same values goes on with what is there."""
    names = "\n".join(commit.name for commit in dataset.commits)
    digest = blake2b(names.encode(), digest_size=8).hexdigest()
    return {
        "dataset": redacted(dataset.store.url),
        "shards": f"{len(dataset.commits)} ({digest})",
        "fingerprint": dataset.identity.fingerprint,
        "format": config.format,
        "images": images_as,
        "where": config.where,
        "split": config.split,
        "seed": config.seed,
    }


def _parts(dataset: Dataset, destination: Destination) -> Iterator[tuple[Part, Commit, int, int]]:
    """Each shard's part, with the rows and masks that come before it."""
    rows = accumulate((commit.rows for commit in dataset.commits), initial=0)
    masks = accumulate((commit.masks for commit in dataset.commits), initial=0)
    for number, (commit, first_row, first_mask) in enumerate(zip(dataset.commits, rows, masks, strict=False)):
        yield Part(number, destination.store), commit, first_row, first_mask


def _shown(
    batches: Iterable[list[Record]], progress: Progress, first_row: int, rows: int
) -> Iterator[list[Record]]:
    seen = first_row
    for batch in batches:
        yield batch
        seen = max(seen, batch[-1].number) if batch else seen
        progress(seen, rows)
