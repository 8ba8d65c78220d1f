"""SA-1B's layout: one JSON file an image, beside the image of the same number.

Source: the format section of https://github.com/facebookresearch/segment-anything, "Dataset".
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, ClassVar

from pipeline.export.form import ExportedImage, Form, Part
from pipeline.export.record import Record, shortest
from pipeline.export_config import ImagesAs


@dataclass(frozen=True)
class Sa1b(Form):
    """Files `sa_<number>.json`, in a folder for each part of the split."""

    images_as: ClassVar[tuple[ImagesAs, ...]] = ("reference", "copy", "link")

    def image_path(self, record: Record, suffix: str) -> str:
        return f"{_stem(record)}{suffix or PurePosixPath(record.name).suffix.lower()}"

    def write(self, part: Part, images: Iterable[list[ExportedImage]]) -> None:
        for batch in images:
            part.publish((f"{_stem(image.record)}.json", _json(image)) for image in batch)


def sa1b_json(record: Record, file_name: str) -> dict[str, Any]:
    """An image and its masks as SA-1B has them."""
    masks = record.masks
    size = [masks.height, masks.width]
    columns = zip(
        record.mask_numbers,
        masks.counts,
        masks.bbox_xywh.tolist(),
        masks.area.tolist(),
        shortest(masks.predicted_iou),
        shortest(masks.stability_score),
        masks.crop_box_xywh.tolist(),
        masks.point_coords.tolist(),
        strict=True,
    )
    keys = ("bbox", "area", "predicted_iou", "stability_score", "crop_box")
    return {
        "image": {
            "image_id": record.number,
            "width": masks.width,
            "height": masks.height,
            "file_name": file_name,
        },
        "annotations": [
            {
                "id": number,
                "segmentation": {"size": size, "counts": counts.decode("ascii")},
                **dict(zip(keys, values, strict=True)),
                "point_coords": [point],
            }
            for number, counts, *values, point in columns
        ],
    }


def _json(image: ExportedImage) -> bytes:
    file_name = PurePosixPath(image.path).name if image.path else image.record.place
    return json.dumps(sa1b_json(image.record, file_name)).encode()


def _stem(record: Record) -> str:
    return f"{record.split}/sa_{record.number}" if record.split else f"sa_{record.number}"
