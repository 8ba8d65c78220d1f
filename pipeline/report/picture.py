"""Writes a drawn picture to a file, in the format that the file's name says."""

import io
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import UsageError
from pipeline.reading.dataset import Dataset
from pipeline.reading.record import Record
from pipeline.store.storage import Store
from pipeline.store.uri import Location, location, refuse_overlap
from pipeline.suggestion import suggestion

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_QUALITY = 90  # of JPEG and WebP; without chroma subsampling, which blurs outlines of one pixel
_LONGEST_STEM = 200  # bytes; file systems allow 255 for a name


@dataclass(frozen=True)
class PictureFile:
    """Where a picture goes."""

    store: Store
    name: str

    @property
    def url(self) -> str:
        return self.store.uri(self.name)

    @classmethod
    def at(cls, url: str, record: Record, dataset: Dataset, overwrite: bool) -> "PictureFile":
        """The file for a record's picture: the one that `url` names, or one in the folder that it names.

        Raises: UsageError for another format, a file that exists, or a place among the images.
        """
        place = location(url)
        if url.endswith("/") or (place.scheme == "file" and Path(place.path).is_dir()):
            place = Location(place.scheme, f"{place.root}/{_default_name(record)}")
        folder, _, name = place.root.rpartition("/")
        suffix = PurePosixPath(name).suffix.lower()
        if suffix not in _FORMATS or not (folder or place.scheme == "file"):
            raise UsageError(
                f"{place} is not the name of a picture: it must end in {', '.join(_FORMATS)}"
                + suggestion(suffix, _FORMATS)
            )
        for source in dataset.inputs:
            # there a refresh would take it for one more image to label
            refuse_overlap(location(source), place)
        file = cls(Store(Location(place.scheme, folder)), name)
        if not file.store.is_writable:
            raise UsageError(f"{place} can only be read; name a file or an s3:// URL to write to")
        if not overwrite and file.store.info(name) is not None:
            raise UsageError(f"{place} exists; name another file, or replace it with --overwrite")
        return file

    def write(self, picture_HW3: NDArray[np.uint8], size: int | None = None) -> None:
        """Writes the picture, its longer side reduced to `size` pixels; the file appears whole."""
        kind = _FORMATS[PurePosixPath(self.name).suffix.lower()]
        self.store.publish(self.name, picture_bytes(picture_HW3, kind, size))


def picture_bytes(picture_HW3: NDArray[np.uint8], kind: str = "PNG", size: int | None = None) -> bytes:
    """The picture as PNG, JPEG or WEBP, its longer side reduced to `size` pixels if it is longer."""
    picture = Image.fromarray(picture_HW3)
    if size is not None:
        picture.thumbnail((size, size), Image.Resampling.LANCZOS)
    body = io.BytesIO()
    picture.save(body, kind, quality=_QUALITY, subsampling=0)
    return body.getvalue()


def _default_name(record: Record) -> str:
    """The name of a record's picture: made from its image's name if that can be used, else from its id."""
    stem = PurePosixPath(record.uri.rpartition("/")[2]).stem
    is_fit = stem.isprintable() and 0 < len(stem.encode()) <= _LONGEST_STEM
    return f"{stem if is_fit else record.image_id}-masks.png"
