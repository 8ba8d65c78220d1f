"""What is exported: the images of a dataset, each with its chosen masks."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import takewhile
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.containers.part import as_path
from pipeline.export.counts import PLACELESS, Counts
from pipeline.export.where import Where
from pipeline.inputs.braces import has_braces
from pipeline.inputs.pattern import has_glob
from pipeline.output.format.schema import rows_of_batch
from pipeline.output.row_masks import masks_of_row, refuse_damaged_masks
from pipeline.store.uri import UNPRINTABLE
from sam_core.masks.image_masks import ImageMasks

# Rows that are handled at once: as Python values they take much memory. Their images are fetched together.
ROWS_AT_ONCE = 16
ID_CHARACTERS = 12  # of an image's id, added where two images could have one name
_LONGEST_NAME = 200  # bytes of one part of a name; file systems take 255, and suffixes are added


@dataclass(frozen=True)
class Record:
    """An image with its chosen masks."""

    number: int  # 1 for the dataset's first row: an id that no filter and no split changes
    name: str  # its path below the dataset's input, fit to be a file's name
    place: str  # its path below the dataset's input, else its whole path or URL; readers find it there
    image_id: str
    uri: str
    etag: str
    exif_orientation: int
    masks: ImageMasks
    places: npt.NDArray[np.int64]  # indices of the chosen masks among the image's
    first_mask: int  # how many masks the dataset's earlier rows have
    split: str  # "" if there is no split
    source_id: str | None = None  # the id in the list of the run
    extra: str | None = None  # columns of that list: a JSON object
    geo_transform: tuple[float, ...] | None = None  # of an image with a place on earth, as in the row
    crs: str | None = None

    def name_with(self, suffix: str) -> str:
        """Its name; with a suffix its id too, since `a.jpg.png` may be the name of another image."""
        return f"{self.name}-{self.image_id[:ID_CHARACTERS]}{suffix}" if suffix else self.name

    @property
    def mask_numbers(self) -> list[int]:
        """1 for the dataset's first mask: ids that no filter and no split changes."""
        return [self.first_mask + place + 1 for place in self.places.tolist()]


@dataclass(frozen=True)
class Selection:
    """Which masks are exported, and under which split and name."""

    source: str  # the folder that names are relative to
    where: Where | None = None
    shares: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    on_earth: bool = False  # only images with a place on earth

    def records(
        self, table: pa.Table, first_row: int, first_mask: int, counts: Counts
    ) -> Iterator[list[Record]]:
        """The records of a shard's rows, some at a time; what is left out is counted."""
        number, mask_number = first_row, first_mask
        for batch in table.to_batches(max_chunksize=ROWS_AT_ONCE):
            records = []
            for row in rows_of_batch(batch):
                number += 1
                record = self._record(row, number, mask_number, counts)
                mask_number += row["num_masks"] or 0
                if record is not None:
                    records.append(record)
            yield records

    def _record(self, row: Mapping[str, Any], number: int, first_mask: int, counts: Counts) -> Record | None:
        if row["status"] != "ok":
            counts.failed += Counter({row["error"]: 1})
            return None
        masks = masks_of_row(row)
        refuse_damaged_masks(f"the row of {row['uri']}", masks.counts, masks.height, masks.width)
        places = np.arange(len(masks))
        if self.where is not None:
            places = places[self.where(masks)]
            if not len(places):
                counts.unmatched += 1
                return None
        if self.on_earth and not (row.get("geo_transform") and row.get("crs")):
            counts.lost[PLACELESS] += 1
            return None
        return Record(
            number=number,
            name=file_name(row["uri"], self.source, row["image_id"]),
            place=place_of(row["uri"], self.source),
            image_id=row["image_id"],
            uri=row["uri"],
            etag=row["etag"],
            exif_orientation=row["exif_orientation"] or 1,
            masks=masks.select(places),
            places=places,
            first_mask=first_mask,
            split=split_of(row["image_id"], self.shares, self.seed),
            source_id=row["source_id"],
            extra=row["extra"],
            geo_transform=tuple(row["geo_transform"]) if row.get("geo_transform") else None,
            crs=row.get("crs"),
        )


def split_of(image_id: str, shares: Mapping[str, float], seed: int) -> str:
    """Which part of the split an image belongs to, by its id and the seed alone."""
    if not shares:
        return ""
    digest = blake2b(f"{seed} {image_id}".encode(), digest_size=8).digest()
    point, edge = int.from_bytes(digest, "big") / 2**64, 0.0
    for name, share in shares.items():
        edge += share
        if point < edge:
            return name
    return list(shares)[-1]  # the shares may add up to a little less than 1


def common_folder(inputs: Sequence[str]) -> str:
    """The folder that names of images are relative to: the input itself, or what several inputs share."""
    if len(inputs) == 1:
        return inputs[0]
    shared = takewhile(
        lambda parts: len(set(parts)) == 1, zip(*(url.split("/") for url in inputs), strict=False)
    )
    return "/".join(parts[0] for parts in shared)


def file_name(uri: str, source: str, image_id: str) -> str:
    """The image's path below `source`, or its id if that path is not fit to be the name of a file.

    A key of an object store may lead out of the destination (`../`), or be longer than a file's name can be.
    An archive or a table counts as a folder of its members.
    """
    below = _below(uri, source)
    return below if all(map(_is_fit, below.split("/"))) else f"{image_id}{_suffix(uri)}"


def place_of(uri: str, source: str) -> str:
    """Where a reader of the export finds the image: its path below `source`, else its whole path or URL."""
    return _below(uri, source) or (uri.removeprefix("file://") if uri.startswith("file:///") else uri)


def _below(uri: str, source: str) -> str:
    """The image's path below `source`; "" if it is elsewhere."""
    path = as_path(uri)
    folder = source if path.startswith(f"{source}/") else _folder_of(source)
    return path.removeprefix(f"{folder}/") if path.startswith(f"{folder}/") else ""


def _folder_of(source: str) -> str:
    """The folder of an input that is an image, a list or a pattern."""
    braces = has_braces(source)  # between them there may be slashes

    def is_fixed(part: str) -> bool:
        return not has_glob(part) and not (braces and "{" in part)

    folder = "/".join(takewhile(is_fixed, source.split("/")[:-1]))
    return folder if "://" in folder else source


def _is_fit(part: str) -> bool:
    is_short = 0 < len(part.encode()) <= _LONGEST_NAME
    return is_short and part not in (".", "..") and UNPRINTABLE.search(part) is None


def _suffix(uri: str) -> str:
    suffix = PurePosixPath(uri).suffix.lower()
    return suffix if suffix[1:].isalnum() and suffix.isascii() and len(suffix) <= len(".jpeg") else ""


def shortest(values: npt.NDArray[np.float32]) -> list[float]:
    """The float32 values with as few digits as identify them: 0.9, not 0.8999999761581421."""
    return [float(text) for text in values.astype(str).tolist()]
