"""Where a report goes: a file on a disk, or an object. A file that is no report is never replaced."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.output.format.names import REPORT
from pipeline.store.storage import Store
from pipeline.store.uri import Location, location

MARKER = '<meta name="generator" content="sam-label preview">'
_MARKED_WITHIN = 1024  # bytes
_SUFFIXES = (".html", ".htm")  # by which a browser knows a page on a disk


@dataclass(frozen=True)
class Destination:
    """A file by its store and name."""

    store: Store
    name: str

    @classmethod
    def of(cls, output: str, file: str | None) -> "Destination":
        """The named file, or the report of the dataset `output`. Raises: UsageError if it is no page."""
        place = location(file) if file is not None else location(output)
        if file is None:
            return cls(Store(place), REPORT)
        folder, _, name = place.root.rpartition("/")
        is_bucket = place.scheme != "file" and not folder
        is_folder = place.scheme == "file" and Path(place.path).is_dir()
        is_page = name.lower().endswith(_SUFFIXES) or is_folder  # for a folder refuse_foreign says more
        if is_bucket or not is_page or file.endswith("/"):
            raise UsageError(f"{place} is not the name of a page: it must end in .html")
        destination = cls(Store(Location(place.scheme, folder)), name)
        if not destination.store.is_writable:
            raise UsageError(f"{place} can only be read; name a file or an s3:// object for the report")
        return destination

    @property
    def url(self) -> str:
        return self.store.uri(self.name)

    @property
    def path(self) -> Path | None:
        """The file's path; None if it is not on a disk of this machine."""
        return Path(self.store.location.path) / self.name if self.store.is_local else None

    def refuse_foreign(self) -> None:
        """Raises: UsageError if there is a folder, or a file that is no report."""
        if self.path is not None and self.path.is_dir():
            raise UsageError(
                f"{self.path} is a folder; name the report's file in it: -o {self.path}/{REPORT}"
            )
        if self.store.info(self.name) is None:
            return
        if MARKER.encode() not in self.store.read_range(self.name, 0, _MARKED_WITHIN):
            raise UsageError(
                f"{self.url} exists, but was not written by sam-label preview; name another file with -o"
            )
