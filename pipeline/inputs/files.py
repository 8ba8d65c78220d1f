"""The files that an input names: all of a folder, one file, or the matches of a pattern."""

from collections.abc import Iterator
from typing import Protocol

from pipeline.errors import UsageError
from pipeline.store.objects import Entry
from pipeline.store.storage import Store
from pipeline.store.uri import Location


class NoImages(UsageError):
    """The input gives no image, or does not exist although its disk or bucket does."""


class Files(Protocol):
    """Files of a store, their names relative to its root."""

    @property
    def store(self) -> Store: ...

    @property
    def is_named(self) -> bool:
        """Whether each file was named by the user, so that a link counts as its target."""

    def pages(self, follow_links: bool, hidden: bool = False) -> Iterator[list[Entry]]:
        """The files, a page at a time. Raises: StoreError, UsageError for a named one that is missing."""

    def refuse_overlap(self, output: Location) -> None:
        """Raises UsageError if the files of an output may be among these, or the other way round."""
