"""What every kind of store offers: whole objects by name, listed in pages, created once or replaced whole."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

UNKNOWN_SIZE = -1


@dataclass(frozen=True)
class Entry:
    """One object in a listing; `etag` changes with its content."""

    name: str  # relative to the store's root
    size: int  # UNKNOWN_SIZE if the store does not say
    etag: str
    leads_out: bool = False  # on a disk: a link to a place that the listing does not cover


@dataclass(frozen=True)
class Got:
    """The body of an object, or a part of it, and the etag that the object had at that moment."""

    data: bytes
    etag: str


def is_hidden(name: str) -> bool:
    """Whether a part of the name, its own or a folder's, starts with a dot."""
    return name.startswith(".") or "/." in name


def is_folder_marker(entry: Entry) -> bool:
    """Whether an object only stands for an empty folder, as consoles create them."""
    return entry.size == 0 and entry.name.endswith("/")


class Wanted(Protocol):
    """Which names of a listing are asked for. A store may leave out others early, but need not."""

    @property
    def beginning(self) -> str:
        """The text that every name begins with."""

    def may_be_below(self, folder: str) -> bool:
        """Whether a name below the folder is asked for."""


class NoPutIfAbsent(Exception):
    """The store cannot create an object only if there is none of its name."""


class Objects(Protocol):
    """A store without retries; faults come out as OSError or botocore's errors (pipeline/store/faults.py)."""

    def pages(
        self, prefix: str, hidden: bool = True, follow_links: bool = False, wanted: Wanted | None = None
    ) -> Iterator[list[Entry]]:
        """The objects below the folder `prefix` ("" for all), a page of at most 1,000 at a time.

        Without `hidden`, objects whose name or folder starts with a dot are left out, and such folders are
        not read. `follow_links` is for disks (pipeline/store/tree.py). `wanted.beginning` has to start with
        the folder.
        """

    def info(self, name: str) -> Entry | None:
        """The object's entry, None if there is no such object."""

    def get(self, name: str) -> Got:
        """The whole object. Raises: FileNotFoundError."""

    def get_range(self, name: str, start: int, end: int) -> Got:
        """The bytes start..end, end excluded, fewer if the object ends before; and the object's etag."""

    def create(self, name: str, data: bytes) -> bool:
        """Whether the object was absent and now is `data`. Raises: NoPutIfAbsent."""

    def publish(self, name: str, data: bytes) -> None:
        """Makes the object `data` in one step: a reader sees the old or the new, whole."""

    def publish_chunks(self, name: str, chunks: Iterable[bytes]) -> None:
        """As `publish`, for an object that comes in chunks; no reader sees it before the last one."""

    def delete(self, name: str) -> None:
        """Removes the object; one that is gone already is no fault."""
