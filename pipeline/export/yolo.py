"""Ultralytics' form for segmentation: one text file an image, one line with one polygon a mask.

A polygon holds neither holes nor more than one part (infra/adr/0016): the largest part is written with its
holes filled, and the difference is counted.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, ClassVar

import numpy as np

from pipeline.export.coco import CATEGORY
from pipeline.export.counts import Counts
from pipeline.export.form import DEFAULT_SPLIT, ExportedImage, Form, Part
from pipeline.export.record import ID_CHARACTERS, Record
from pipeline.export_config import ImagesAs
from sam_core.masks.outline import outline


@dataclass(frozen=True)
class Yolo(Form):
    """Folders `images/` and `labels/`, each with one for every part of the split, and `data.yaml`."""

    splits: tuple[str, ...]  # ("",) if there is no split

    images_as: ClassVar[tuple[ImagesAs, ...]] = ("copy", "link")  # labels are found by the image's path

    def image_path(self, record: Record, suffix: str) -> str:
        suffix = suffix or PurePosixPath(record.name).suffix.lower()
        return f"images/{_stem(record)}{suffix}"

    def write(self, part: Part, images: Iterable[list[ExportedImage]]) -> None:
        for batch in images:
            part.publish([(f"labels/{_stem(i.record)}.txt", _text(i.record, part.counts)) for i in batch])

    def end(self, last: Part, kept: Mapping[int, Mapping[str, Any]]) -> None:
        folders = {split or DEFAULT_SPLIT: f"images/{split or DEFAULT_SPLIT}" for split in self.splits}
        if "val" not in folders:
            folders["val"] = folders[DEFAULT_SPLIT]  # the key is required; with --split it has its own images
        lines = [f"{split}: {folder}" for split, folder in folders.items()]
        text = "\n".join([*lines, "names:", f"  0: {CATEGORY['name']}", ""])
        last.publish([("data.yaml", text.encode())])


def _stem(record: Record) -> str:
    """The path of an image and of its labels below their folders, without a suffix.

    Ultralytics puts `labels` for the last folder `images` in the path, so no other folder may have that name.
    """
    *folders, name = PurePosixPath(record.name).with_suffix("").parts
    below = [f"{folder}_" if folder == "images" else folder for folder in folders]
    return "/".join([record.split or DEFAULT_SPLIT, *below, f"{name}-{record.image_id[:ID_CHARACTERS]}"])


def _text(record: Record, counts: Counts) -> bytes:
    return "".join(_lines(record, counts)).encode()


def _lines(record: Record, counts: Counts) -> Iterator[str]:
    masks = record.masks
    size_2 = np.array([masks.width, masks.height])
    for index in range(len(masks)):
        counts.lost["pixels"] += int(masks.area[index])
        if not masks.area[index]:
            counts.lost["masks without a pixel"] += 1
            continue
        # A mask's outline is found in its own box: most masks are small.
        x, y, width, height = masks.bbox_xywh[index].astype(int).tolist()
        drawn = outline(masks.mask(index)[y : y + height + 1, x : x + width + 1])
        counts.lost["masks that lose parts"] += drawn.lost_pixels > 0
        counts.lost["pixels of lost parts"] += drawn.lost_pixels
        counts.lost["masks with filled holes"] += drawn.filled_pixels > 0
        counts.lost["pixels of filled holes"] += drawn.filled_pixels
        points_N2 = drawn.points_N2
        if len(points_N2) < 3:  # a line or a point: a polygon has three corners at least
            points_N2 = points_N2[[0, -1, -1]]
        centres_N2 = (points_N2 + (x, y) + 0.5) / size_2
        yield " ".join(["0", *(f"{value:.6f}" for value in centres_N2.ravel().tolist())]) + "\n"
