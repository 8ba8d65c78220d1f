"""A folder or a prefix as input: every file below it."""

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.store.objects import Entry
from pipeline.store.storage import Store
from pipeline.store.uri import Location, refuse_overlap


@dataclass(frozen=True)
class Folder:
    """All files of the store."""

    store: Store
    is_named: bool = False

    def pages(self, follow_links: bool, hidden: bool = False) -> Iterator[list[Entry]]:
        return self.store.list(hidden=hidden, follow_links=follow_links)

    def refuse_overlap(self, output: Location) -> None:
        refuse_overlap(self.store.location, output)
