"""Label maps: one 16-bit PNG an image, whose pixels say which mask they belong to, and tables of the masks.

Where masks overlap, the one of smaller area gets the pixel (sam_core/label_map.py). A mask's value is its
index in the dataset's row plus 1, so that it can be found there; 0 is no mask.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from pipeline.errors import SamLabelError
from pipeline.export.counts import Counts
from pipeline.export.form import ExportedImage, Form, Part
from pipeline.export.record import Record, shortest
from pipeline.export_config import ImagesAs
from sam_core.label_map import label_map

COLUMNS = ("label_map", "value", "image_id", "area", "visible_area", "predicted_iou", "stability_score")
_MOST = np.iinfo(np.uint16).max


@dataclass(frozen=True)
class Png(Form):
    """Folders `masks/` (with one for each part of the split) and `tables/`."""

    images_as: ClassVar[tuple[ImagesAs, ...]] = ("reference", "copy", "link")

    def image_path(self, record: Record, suffix: str) -> str:
        return f"images/{_path(record, suffix)}"

    def write(self, part: Part, images: Iterable[list[ExportedImage]]) -> None:
        table, has_images = io.StringIO(), False
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(COLUMNS)

        def label_maps(batch: list[ExportedImage]) -> Iterator[tuple[str, bytes]]:
            for image in batch:
                name = f"masks/{_path(image.record)}.png"
                labels_HW = _labels(image.record)
                rows.writerows(_rows(image.record, name, labels_HW, part.counts))
                yield name, _png(labels_HW)

        for batch in images:
            has_images |= bool(batch)
            part.publish(label_maps(batch))
        if has_images:
            part.publish([(f"tables/{part.number:05d}.csv", table.getvalue().encode())])


def _path(record: Record, suffix: str = "") -> str:
    name = record.name_with(suffix)
    return f"{record.split}/{name}" if record.split else name


def _labels(record: Record) -> "np.ndarray":
    """The value of each pixel; uint16 [height, width]."""
    if len(record.places) and record.places.max() >= _MOST:
        raise SamLabelError(
            f"{record.uri} has more than {_MOST} masks, which 16 bits cannot tell apart; use --where, or "
            "another format"
        )
    values = np.concatenate([[0], record.places + 1]).astype(np.uint16)
    return values[label_map(record.masks)]


def _rows(record: Record, name: str, labels_HW: "np.ndarray", counts: Counts) -> Iterable[tuple[Any, ...]]:
    visible = np.bincount(labels_HW.ravel(), minlength=_MOST + 1)[record.places + 1]
    counts.lost["masks that smaller ones hide"] += int(np.count_nonzero(visible == 0))
    return zip(
        [name] * len(record.masks),
        (record.places + 1).tolist(),
        [record.image_id] * len(record.masks),
        record.masks.area.tolist(),
        visible.tolist(),
        shortest(record.masks.predicted_iou),
        shortest(record.masks.stability_score),
        strict=True,
    )


def _png(labels_HW: "np.ndarray") -> bytes:
    body = io.BytesIO()
    Image.fromarray(labels_HW).save(body, "PNG")
    return body.getvalue()
