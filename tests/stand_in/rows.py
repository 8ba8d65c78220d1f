"""Checks that a dataset of valid images holds the right rows, however its runs went."""

from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Any

from stand_in_generator import StandInGenerator

from pipeline.images.decode import decoded_image
from pipeline.output.commands.validate import validate
from pipeline.output.dataset import Dataset
from pipeline.output.format.manifest import rows_of
from pipeline.output.format.schema import ok_row, table_of
from pipeline.store.storage import Store

MOST_PIXELS = 1 << 20


def faults_of(output: Path | str, images: int) -> list[str]:
    """All faults of a dataset that should hold `images` rows, none of them failed."""
    found, dataset = validate(str(output)), Dataset.at(str(output))
    faults = list(found.problems)
    if (found.labelled, found.failed) != (images, 0):
        faults.append(f"{found.labelled} of {images} labelled, failed: {dataset.failed_by_reason}")
    if digest(dataset.table().to_pylist()) != digest(undisturbed_rows(dataset)):
        faults.append("other rows than an undisturbed run's")
    return faults


def undisturbed_rows(dataset: Dataset) -> list[dict[str, Any]]:
    """The rows, made in the slow and obvious way: one image after the other, in this process."""
    generator = StandInGenerator(0, None)
    rows = []
    for image in rows_of(dataset.manifest()):
        store, name = Store.of_uri(image.uri)
        decoded = decoded_image(store.read(name), MOST_PIXELS)
        rows.append(ok_row(image._asdict(), decoded, generator.generate_masks(decoded.image_HW3)))
    return table_of(rows).to_pylist()


def digest(rows: Iterable[dict[str, Any]]) -> str:
    """A hash of the rows that does not depend on their order or shards."""
    ordered = sorted(rows, key=lambda row: str(row["image_id"]))
    return blake2b(repr(ordered).encode(), digest_size=16).hexdigest()
