"""What all forms of export share: each writes the images of one shard after another, then ends.

A part is the export of one shard of the dataset. What a form writes for it depends only on its number and its
images, so that an interrupted part can be written again.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pipeline.errors import UsageError
from pipeline.export.counts import Counts
from pipeline.export.destination import Claim
from pipeline.export.record import Record
from pipeline.export_config import ImagesAs
from pipeline.store.storage import Store, side_by_side

DEFAULT_SPLIT = "train"  # the folder of a form that always has one


class NothingToExport(UsageError):
    """No image can be exported in this form; nothing but the export's state has been written."""


@dataclass(frozen=True)
class ExportedImage:
    """A record, and where its image is for the reader of the export."""

    record: Record
    path: str | None = None  # below the destination; None if the image stays where it is
    data: bytes | None = None  # the image file, for a form that stores it in its own files
    size: int = 0  # bytes that were written for it


@dataclass
class Part:
    """The export of one shard."""

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


class Form(ABC):
    """One form of export."""

    images_as: ClassVar[tuple[ImagesAs, ...]]  # what it can do with the images; the first is the default
    takes_image_in: ClassVar[bool] = False  # whether it stores a copied image itself, from its bytes

    def claim(self) -> Claim:
        """Where it writes; nothing else may be there."""
        return Claim()

    def image_path(self, record: Record, suffix: str) -> str:
        """The path for a copy of the image or a link to it; `suffix` is to be added to its name, or empty.

        Only a form that leaves images outside of its own files has it.
        """
        raise NotImplementedError

    @abstractmethod
    def write(self, part: Part, images: Iterable[list[ExportedImage]]) -> None:
        """Writes the images of a part; they come in batches."""

    def end(self, last: Part, kept: Mapping[int, Mapping[str, Any]]) -> None:  # noqa: B027  # most have none
        """Writes what belongs to all parts, if anything; `kept` is what each part has stored for this."""
