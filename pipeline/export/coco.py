"""COCO's form of instances: one JSON file, or one for each shard, with masks as compressed RLE.

Images and annotations of each shard are stored as pieces of text in the export's state folder, and joined to
a file at the end. So the file can be larger than memory, and an interrupted export can go on.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, ClassVar

import numpy as np

from pipeline.errors import DamagedFile
from pipeline.export.destination import Claim, Destination
from pipeline.export.form import ExportedImage, Form, Part
from pipeline.export.record import Record, shortest
from pipeline.export_config import ImagesAs
from pipeline.output.format.schema import extra_of

CATEGORY = {"id": 1, "name": "object", "supercategory": "object"}  # SAM knows no classes
PIECE_BYTES = 16 << 20  # of text in memory, for each part of the split

Pieces = Mapping[int, Mapping[str, Any]]  # by shard: how many pieces of each kind it has


@dataclass(frozen=True)
class Coco(Form):
    """COCO instances of the masks; `info` says in the file what made them."""

    destination: Destination
    splits: tuple[str, ...]  # ("",) if there is no split
    info: Mapping[str, Any]

    images_as: ClassVar[tuple[ImagesAs, ...]] = ("reference", "copy", "link")

    def claim(self) -> Claim:
        if not self.destination.file:
            return Claim()
        return Claim((self._images,), tuple(map(self.destination.file_of, self.splits)))

    def image_path(self, record: Record, suffix: str) -> str:
        return f"{self._images}/{record.name_with(suffix)}"

    def write(self, part: Part, images: Iterable[list[ExportedImage]]) -> None:
        texts = {split: _Texts(self, part, split) for split in self.splits}
        for batch in images:
            for image in batch:
                texts[image.record.split].add(image, self._file_name(image))
        for text in texts.values():
            text.close()
        if not self.destination.file:
            for split in self.splits:
                if part.kept[f"{split}.images"]:
                    # COCO's own files have such names, and datumaro and CVAT look for them.
                    words = filter(None, ("instances", split, f"{part.number:05d}"))
                    name = f"annotations/{'_'.join(words)}.json"
                    part.publish_chunks(name, self._chunks(split, {part.number: part.kept}))

    def end(self, last: Part, kept: Pieces) -> None:
        for split in self.splits if self.destination.file else ():
            last.publish_chunks(self.destination.file_of(split), self._chunks(split, kept))

    def piece(self, part: int, split: str, kind: str, number: int) -> str:
        """The name of a piece of text."""
        return self.destination.state(f"{part:05d}-{split}-{number:04d}.{kind}")

    @property
    def _images(self) -> str:
        stem = PurePosixPath(self.destination.file).stem
        return f"{stem}-images" if stem else "images"

    def _file_name(self, image: ExportedImage) -> str:
        return image.path.removeprefix(f"{self._images}/") if image.path else image.record.place

    def _chunks(self, split: str, kept: Pieces) -> Iterator[bytes]:
        head = {"info": self.info, "categories": [CATEGORY]}
        yield json.dumps(head)[:-1].encode()
        for kind in ("annotations", "images"):
            yield f', "{kind}": ['.encode()
            separator = b"\n"
            for part, pieces in sorted(kept.items()):
                for number in range(pieces[f"{split}.{kind}"]):
                    yield separator
                    yield self.destination.store.read(self.piece(part, split, kind, number))
                    separator = b",\n"
            yield b"\n]"
        yield b"}\n"


class _Texts:
    """The text of one shard's images and annotations in one part of the split."""

    def __init__(self, form: Coco, part: Part, split: str) -> None:
        self.form, self.part, self.split = form, part, split
        self.images: list[str] = []
        self.annotations: list[str] = []
        self.size = 0
        part.kept |= {f"{split}.images": 0, f"{split}.annotations": 0}

    def add(self, image: ExportedImage, file_name: str) -> None:
        record = image.record
        size = {"width": record.masks.width, "height": record.masks.height}
        try:
            of_list = {
                **({"source_id": record.source_id} if record.source_id is not None else {}),
                **({"extra": extra_of(record.extra)} if record.extra else {}),
            }
            self.images.append(_text([{"id": record.number, "file_name": file_name, **size, **of_list}]))
        except (ValueError, RecursionError) as fault:
            raise DamagedFile(f"the row of {record.uri}", str(fault)) from fault
        if len(record.masks):
            self.annotations.append(_text(list(annotations(record))))
            self.size += len(self.annotations[-1])
        if self.size > PIECE_BYTES:
            self._keep("annotations", self.annotations)
            self.annotations, self.size = [], 0

    def close(self) -> None:
        self._keep("annotations", self.annotations)
        self._keep("images", self.images)

    def _keep(self, kind: str, texts: list[str]) -> None:
        if texts:
            number = self.part.kept[f"{self.split}.{kind}"]
            name = self.form.piece(self.part.number, self.split, kind, number)
            self.part.store.publish(name, ",\n".join(texts).encode())
            self.part.kept[f"{self.split}.{kind}"] += 1


def _text(values: list[dict[str, Any]]) -> str:
    """The JSON of a list without its brackets."""
    return json.dumps(values, separators=(",", ":"))[1:-1]


def annotations(record: Record) -> Iterator[dict[str, Any]]:
    """COCO's annotations of an image, with SAM's two scores beside COCO's own keys."""
    masks = record.masks
    size = [masks.height, masks.width]
    # COCO's width and height include the last pixel; SA-1B's end at it.
    boxes = (masks.bbox_xywh + np.array([0, 0, 1, 1], np.float32)) * (masks.area > 0)[:, None]
    columns = zip(
        record.mask_numbers,
        masks.counts,
        masks.area.tolist(),
        boxes.astype(np.int64).tolist(),
        shortest(masks.predicted_iou),
        shortest(masks.stability_score),
        strict=True,
    )
    for number, counts, area, box, predicted_iou, stability_score in columns:
        yield {
            "id": number,
            "image_id": record.number,
            "category_id": CATEGORY["id"],
            "iscrowd": 0,  # 1 would mean a region of many things, which training leaves out
            "area": area,
            "bbox": box,
            "segmentation": {"size": size, "counts": counts.decode("ascii")},
            "predicted_iou": predicted_iou,
            "stability_score": stability_score,
        }
