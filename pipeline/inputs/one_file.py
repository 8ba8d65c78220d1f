"""A single file as input."""

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.store.objects import Entry
from pipeline.store.storage import Store
from pipeline.store.uri import Location, location, refuse_overlap


@dataclass(frozen=True)
class OneFile:
    """A file of a whole store."""

    store: Store
    file: Entry
    is_named: bool = True

    def pages(self, follow_links: bool, hidden: bool = False) -> Iterator[list[Entry]]:
        yield [self.file]

    def refuse_overlap(self, output: Location) -> None:
        refuse_overlap(location(self.store.uri(self.file.name)), output)
