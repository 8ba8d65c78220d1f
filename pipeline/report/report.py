"""Writes a report of a dataset: one HTML page with everything in it, to look at and to send around.

The dataset is only read. The page shows a sample of it (sample.py), so the dataset may have any size.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import Any

from pipeline.errors import UsageError
from pipeline.export.record import common_folder
from pipeline.output.dataset import Dataset
from pipeline.progress import Progress, silent
from pipeline.report.destination import Destination
from pipeline.report.lookup import places_of, records_at
from pipeline.report.names import names_of
from pipeline.report.page import page
from pipeline.report.palette import css_colours
from pipeline.report.sample import Sample, sampled
from pipeline.report.shown import Photos, Seen, shown_image
from pipeline.report.sliders import as_json, folder_of, sliders
from pipeline.report.summary import summary

# Small enough to be mailed and opened on a phone. The images share this, whatever is in them.
MOST_BYTES = 14_000_000
_MOST_BYTES_AN_IMAGE = 200_000  # more is not seen at 640 pixels
_AT_ONCE = 4  # images in memory at their full size


@dataclass(frozen=True)
class Preview:
    """What the report should show."""

    output: str
    file: str | None = None
    compare: str | None = None
    images: int = 60
    seed: int = 0


@dataclass(frozen=True)
class Report:
    """A report that was written."""

    report: str  # its path or URL
    bytes: int
    images: int
    images_of: int  # rows of the dataset
    masks: int  # of the images that are shown
    unreadable: int  # images whose photo could not be fetched


def written_report(asked: Preview, progress: Progress = silent) -> Report:
    """Writes the report.

    Raises: UsageError if there is no dataset, nothing to show, or another file in the way; StoreError,
        DamagedFile.
    """
    destination = Destination.of(asked.output, asked.file)
    dataset = Dataset.at(asked.output)
    other = Dataset.at(asked.compare) if asked.compare is not None else None
    destination.refuse_foreign()
    if not dataset.rows:
        raise UsageError(
            f"{dataset.store.url} has no rows yet; run it to its end, or wait for its first shard"
        )
    sample = sampled(dataset, asked.images, asked.seed)
    seen = _seen(dataset, other, sample)
    images = _shown_images(seen, dataset, other is not None, progress)
    names = names_of([dataset] if other is None else [other, dataset])
    data = {
        "names": names,
        "colours": css_colours(max(side["masks"] for image in images for side in image["sides"])),
        "sliders": as_json(sliders(dataset.identity.mask_options)),
        "folder": folder_of(dataset.store),
        "images": images,
    }
    about = summary(dataset, other, names, sample, asked.seed)
    html = page(about, data).encode()
    destination.store.publish(destination.name, html)
    return Report(
        report=str(destination.path or destination.url),
        bytes=len(html),
        images=len(images),
        images_of=dataset.rows,
        masks=sum(image["sides"][-1]["masks"] for image in images),
        unreadable=sum("gone" in image for image in images),
    )


def _seen(dataset: Dataset, other: Dataset | None, sample: Sample) -> list[Seen]:
    """The rows to show in the sample's order, each with its row in the other dataset."""
    order = {place: number for number, place in enumerate(sample.groups_of)}
    mine = sorted(records_at(dataset, sample.groups_of), key=lambda pair: order[pair[0]])
    if other is None:
        return [Seen(record, sample.groups_of[place]) for place, record in mine]
    places = places_of(other, [record.uri for _, record in mine])
    if not places:
        raise UsageError(
            f"{other.store.url} has none of the {len(mine)} images shown from {dataset.store.url}; compare "
            "datasets whose images have the same URIs, or name the dataset with fewer images first"
        )
    theirs = {record.uri: record for _, record in records_at(other, places.values())}
    return [Seen(record, sample.groups_of[place], theirs.get(record.uri)) for place, record in mine]


def _shown_images(
    seen: list[Seen], dataset: Dataset, is_compared: bool, progress: Progress
) -> list[dict[str, Any]]:
    photos, folder = Photos(), common_folder(dataset.record.inputs)
    most_bytes = min(MOST_BYTES // len(seen), _MOST_BYTES_AN_IMAGE)
    done = count(1)

    def shown(one: Seen) -> dict[str, Any]:
        image = shown_image(one, photos, folder, most_bytes, is_compared)
        progress(next(done), len(seen))
        return image

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return list(threads.map(shown, seen))
