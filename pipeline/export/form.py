"""What all forms of export share: each writes one shard's images after the other, then ends.

A part is what one shard of the dataset becomes. Nothing but its number and its images decides what a form
writes for it, so that a part that was cut short can be written again.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from pipeline.errors import UsageError
from pipeline.export.counts import Counts
from pipeline.export.destination import Claim
from pipeline.export.record import Record
from pipeline.export_config import ImagesAs
from pipeline.store.storage import Store, side_by_side

DEFAULT_SPLIT = "train"  # the folder of a form that always has one


class NothingToExport(UsageError):
    """No image is left that could be exported so; nothing but the export's own memory has been written."""


@dataclass(frozen=True)
class ExportedImage:
    """A record, and where its image is for the reader of the export."""

    record: Record
    path: str | None = None  # below the destination; None if the image stays where it is
    data: bytes | None = None  # the image file, for a form that takes it in
    size: int = 0  # bytes that were written for it


@dataclass
class Part:
    """What one shard becomes."""

    number: int
    store: Store
    counts: Counts = field(default_factory=Counts)
    kept: dict[str, Any] = field(default_factory=dict)  # JSON values that the form's end needs

    def publish(self, files: Iterable[tuple[str, bytes]]) -> None:
        """Writes whole files, side by side."""
        for size in side_by_side(self._publish, files):
            self.counts.files += 1
            self.counts.bytes += size

    def publish_chunks(self, name: str, chunks: Iterable[bytes]) -> None:
        """Writes one file as its chunks come."""
        self.store.publish_chunks(name, self._counted(chunks))
        self.counts.files += 1

    def _publish(self, file: tuple[str, bytes]) -> int:
        self.store.publish(*file)
        return len(file[1])

    def _counted(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.counts.bytes += len(chunk)
            yield chunk


class Form(Protocol):
    """One form of export."""

    images_as: ClassVar[tuple[ImagesAs, ...]]  # what it can do with the images; the first is done unasked
    takes_image_in: ClassVar[bool]  # whether it wants a copied image as bytes, not put into the destination

    def claim(self) -> Claim:
        """What it writes to, and may find nothing else in."""

    def image_path(self, record: Record, suffix: str) -> str:
        """Where a copy of the image, or a link to it, goes; `suffix` is to be added to its name, or empty."""

    def write(self, part: Part, images: Iterable[list[ExportedImage]]) -> None:
        """Writes the images of a part; they come some at a time."""

    def end(self, last: Part, kept: Mapping[int, Mapping[str, Any]]) -> None:
        """Writes what stands for all parts; `kept` is what each part has kept."""
