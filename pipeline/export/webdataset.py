"""WebDataset's form: tar files in which each image stands beside a JSON file with its masks.

The same images give the same bytes: files in the tars carry no owner and no time.
"""

import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from pipeline.export.form import ExportedImage, Form, Part
from pipeline.export.images import SUFFIXES
from pipeline.export.sa1b import sa1b_json
from pipeline.export_config import ImagesAs
from pipeline.images.image_format import HEADER_BYTES, image_format

TAR_BYTES = 64 << 20  # in memory, for each part of the split; one more image may be added


@dataclass(frozen=True)
class WebDataset(Form):
    """Files `<shard>-<number>.tar`, in a folder for each part of the split."""

    images_as: ClassVar[tuple[ImagesAs, ...]] = ("copy",)
    takes_image_in: ClassVar[bool] = True

    def write(self, part: Part, images: Iterable[list[ExportedImage]]) -> None:
        tars: dict[str, _Tars] = {}
        for batch in images:
            for image in batch:
                split = image.record.split
                if split not in tars:
                    tars[split] = _Tars(part, split)
                tars[split].add(image)
        for tar in tars.values():
            tar.close()


class _Tars:
    """The tar files of one shard in one part of the split."""

    def __init__(self, part: Part, split: str) -> None:
        self.part, self.folder, self.number = part, f"{split}/" if split else "", 0
        self._begin()

    def add(self, image: ExportedImage) -> None:
        if self.body.tell() > TAR_BYTES:
            self.close()
            self._begin()
        for name, data in _members(image):
            member = tarfile.TarInfo(name)  # its owner, time and mode are the same for all
            member.size = len(data)
            self.tar.addfile(member, io.BytesIO(data))

    def close(self) -> None:
        self.tar.close()
        self.part.publish(
            [(f"{self.folder}{self.part.number:05d}-{self.number:03d}.tar", self.body.getvalue())]
        )
        self.number += 1

    def _begin(self) -> None:
        self.body = io.BytesIO()
        self.tar = tarfile.TarFile(fileobj=self.body, mode="w", format=tarfile.USTAR_FORMAT)


def _members(image: ExportedImage) -> Iterator[tuple[str, bytes]]:
    """The two files of an image, named by its id: dots in its own name would be read as an extension."""
    record, data = image.record, image.data or b""
    suffix = SUFFIXES.get(image_format(data[:HEADER_BYTES]) or "", ".img")
    yield f"{record.image_id}{suffix}", data
    fields = {**sa1b_json(record, record.name), "uri": record.uri}
    yield f"{record.image_id}.json", json.dumps(fields).encode()
