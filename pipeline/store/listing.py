"""Lists the names below a prefix of an object store: page by page, and many of them folder by folder.

A store gives a thousand names a request, and each page needs the one before it. So a listing that does not
end with its first pages asks for the folders (deeper ones too if there are few), and then lists several of
them side by side (pipeline/store/ahead.py). If there are no folders, or only small ones, it goes on page by
page.
"""

import threading
from collections.abc import Iterator, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from math import inf
from typing import Protocol

from pipeline.shutdown import Call
from pipeline.store.ahead import AT_A_TIME, Abandoned, in_order
from pipeline.store.faults import IO_FAULTS, permanent_reason, tried
from pipeline.store.objects import Entry, is_folder_marker, is_hidden

PAGE = 1000
FIRST_PAGES = 4  # a dataset's own folders end within them, and so need no further requests
# Folders in the first pages. If there are more, they have less than 250 names each, and listing each of them
# takes more requests than it saves.
MOST_TOUCHED = 4 * FIRST_PAGES
MOST_PAGES = 25  # of one folder, which stay in memory
MOST_LEVELS = 8


@dataclass(frozen=True)
class Page:
    """What one request gives: objects, folders ("a/b/") if they were asked for, and the next page's token."""

    entries: Sequence[Entry]
    token: str | None  # None or empty after the last page
    folders: Sequence[str] = ()


class PageOf(Protocol):
    """One request of a store, names relative to its root."""

    def __call__(self, below: str, token: str | None, by_folder: bool) -> Page:
        """The objects whose names begin with `below`; `by_folder` gives deeper ones as their folder only."""


def listed_pages(page_of: PageOf, place: str, below: str, hidden: bool) -> Iterator[list[Entry]]:
    """The pages of the names that begin with `below`, in byte order if the store lists so.

    Folder markers are left out, and hidden names unless `hidden`. `place` is the URL of the root with a
    slash, for the log.
    """
    yield from _Listing(page_of, place, hidden).pages(below)


@dataclass(frozen=True)
class _Listing:
    page_of: PageOf
    place: str
    hidden: bool
    abandoned: threading.Event = field(default_factory=threading.Event)

    def pages(self, below: str) -> Iterator[list[Entry]]:
        given: set[str] = set()
        token = None
        for _ in range(FIRST_PAGES):
            page = self._page(below, token)
            taken = self._taken(page)
            given.update(entry.name for entry in taken)
            yield taken
            token = page.token
            if not token:
                return
        try:
            parts = self._parts(below, given)
            if parts is None:
                yield from self._one_by_one(below, token)
                return
            for page_of_part in in_order(self._listings(parts), self.abandoned):
                # by name and not by position, since a store may list in an order of its own
                yield [entry for entry in page_of_part if entry.name not in given]
        finally:
            self.abandoned.set()

    def _parts(self, below: str, first: set[str]) -> list[Entry | str] | None:
        """Objects and folders that together are the listing, in order; None if it is to go on page by page.

        Folders are opened level by level, until there are enough to keep all threads busy.
        """
        parts: list[Entry | str] = [below]
        whole: set[str] = set()  # folders that stay closed
        for depth in range(1, MOST_LEVELS + 1):
            folders = [part for part in parts if isinstance(part, str)]
            closed = [folder for folder in folders if folder not in whole]
            if not closed or len(folders) >= AT_A_TIME or _touched(first, below, depth) > MOST_TOUCHED:
                break
            inside = dict(zip(closed, self._inside_each(closed), strict=True))
            whole |= {folder for folder, parts_inside in inside.items() if parts_inside is None}
            opened: list[Entry | str] = []
            for part in parts:
                parts_inside = inside.get(part) if isinstance(part, str) else None
                opened += [part] if parts_inside is None else parts_inside
            parts = opened
        folders = [part for part in parts if isinstance(part, str)]
        if len(folders) == 1 or (folders and self._is_refused(folders[0])):
            return None
        return parts

    def _inside_each(self, folders: Sequence[str]) -> list[list[Entry | str] | None]:
        calls = [
            Call(partial(copy_context().run, self._inside, folder), "sam-label listing") for folder in folders
        ]
        for call in calls:
            call.start()
        for call in calls:
            call.wait(inf)
            if call.fault is not None:
                raise call.fault
        return [call.answers[0] for call in calls]

    def _inside(self, folder: str) -> list[Entry | str] | None:
        """A folder's objects and folders in order; None if most are objects, or it may not be listed."""
        entries: list[Entry] = []
        folders: set[str] = set()
        token = None
        for _ in range(MOST_PAGES):
            try:
                page = self._page(folder, token, by_folder=True)
            except IO_FAULTS as fault:
                if permanent_reason(fault) is None:
                    raise
                return None
            entries += self._taken(page)
            folders.update(page.folders)
            token = page.token
            if not token:
                seen = (folder for folder in folders if self.hidden or not is_hidden(folder))
                return sorted([*entries, *seen], key=_name)
            if len(entries) > len(folders):
                return None
        return None

    def _is_refused(self, folder: str) -> bool:
        """Whether the store refuses to list this folder by itself, although it lists the prefix."""
        try:
            self._page(folder, None)
        except IO_FAULTS as fault:
            if permanent_reason(fault) is None:
                raise
            return True
        return False

    def _listings(self, parts: Sequence[Entry | str]) -> Iterator[Iterator[list[Entry]]]:
        for _, group in groupby(parts, key=lambda part: part if isinstance(part, str) else None):
            some = list(group)
            if isinstance(some[0], str):
                yield self._one_by_one(some[0], None)
            else:
                entries = [part for part in some if isinstance(part, Entry)]
                yield iter([entries[start : start + PAGE] for start in range(0, len(entries), PAGE)])

    def _one_by_one(self, below: str, token: str | None) -> Iterator[list[Entry]]:
        while True:
            page = self._page(below, token)
            yield self._taken(page)
            token = page.token
            if not token:
                return

    def _taken(self, page: Page) -> list[Entry]:
        return [
            entry
            for entry in page.entries
            if entry.name and not is_folder_marker(entry) and (self.hidden or not is_hidden(entry.name))
        ]

    def _page(self, below: str, token: str | None, by_folder: bool = False) -> Page:
        def once() -> Page:
            if self.abandoned.is_set():
                raise Abandoned
            return self.page_of(below, token, by_folder)

        return tried(once, f"list {self.place}{below}")


def _touched(names: set[str], below: str, depth: int) -> int:
    """How many folders, `depth` levels deep, the names lie in."""
    split = (name.removeprefix(below).split("/", depth) for name in names)
    return len({tuple(parts[:depth]) for parts in split if len(parts) > depth})


def _name(part: Entry | str) -> str:
    """The order of bytes in UTF-8 is that of Python's strings."""
    return part if isinstance(part, str) else part.name
