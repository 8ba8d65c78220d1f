"""The files of a pattern as input: `s3://b/2026-*/**/*.png`. Only what may match is listed."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.inputs.braces import expanded
from pipeline.inputs.pattern import Glob
from pipeline.store.objects import Entry, Wanted
from pipeline.store.storage import Store
from pipeline.store.uri import Location, redacted, refuse_overlap
from sam_core.cached import cached_property

MOST_LISTINGS = 10_000  # one for each pattern that braces stand for, if they differ before the first *


@dataclass(frozen=True)
class Matches:
    """The files that match one of the globs; these are relative to the store's root."""

    store: Store  # of the innermost folder that holds them all
    globs: tuple[Glob, ...]
    is_named: bool = False

    @classmethod
    def of(cls, whole: Store, text: str) -> "Matches":
        """The files of a whole store that match a pattern. Raises: UsageError for too many patterns."""
        globs = []
        for one in expanded(text):
            globs.append(Glob(one))
            if len(globs) > MOST_LISTINGS:
                raise UsageError(
                    f"{redacted(whole.uri(text))} expands to more than {MOST_LISTINGS:,} patterns, each "
                    "listed on its own; use * instead of the braces"
                )
        base = _common_folder([glob.base for glob in globs])
        store = replace(whole, location=_below(whole.location, base))
        inner = (Glob(glob.text.removeprefix(f"{base}/" if base else "")) for glob in globs)
        return cls(store, tuple(inner))

    def pages(self, follow_links: bool, hidden: bool = False) -> Iterator[list[Entry]]:
        for folder, globs in self._listings:
            wanted = _Wanted(globs)
            is_outside = self._leads_out(folder) and not follow_links
            for page in self.store.list(folder, hidden, follow_links, wanted):
                yield [
                    replace(entry, leads_out=entry.leads_out or is_outside)
                    for entry in page
                    if any(_may_be_of(glob, entry) for glob in globs)
                ]

    def refuse_overlap(self, output: Location) -> None:
        """Allows an output in the folder that holds the matches, if no glob can match below the output."""
        store = self.store.location
        if output.scheme != store.scheme:
            return
        inner, outer = output.root, store.root
        if store.scheme == "file":
            inner, outer = os.path.realpath(inner or "/"), os.path.realpath(outer or "/")
        name = f"{inner}/".removeprefix(f"{outer.rstrip('/')}/").rstrip("/")
        is_below = f"{inner}/".startswith(f"{outer.rstrip('/')}/") and name
        if not is_below or any(glob.may_match_below(name) for glob in self.globs):
            refuse_overlap(store, output)

    @cached_property
    def _listings(self) -> list[tuple[str, list[Glob]]]:
        """The folders to list, none within another, each with the globs whose matches it holds."""
        outermost: list[str] = []
        for base in sorted({glob.base for glob in self.globs}, key=lambda base: f"{base}/"):
            if not outermost or not _is_within(base, outermost[-1]):
                outermost.append(base)
        listed: dict[str, list[Glob]] = {folder: [] for folder in outermost}
        for glob in self.globs:
            listed[next(folder for folder in _with_parents(glob.base) if folder in listed)].append(glob)
        return list(listed.items())

    def _leads_out(self, folder: str) -> bool:
        """Whether a folder on a disk that braces name is a link to a place outside."""
        root = Path(self.store.location.path)
        return self.store.is_local and not Path(os.path.realpath(root / folder)).is_relative_to(
            os.path.realpath(root)
        )


@dataclass(frozen=True)
class _Wanted(Wanted):
    """What a listing may leave out: names that match none of the globs."""

    globs: Sequence[Glob]

    @cached_property
    def beginning(self) -> str:
        return os.path.commonprefix([glob.beginning for glob in self.globs])  # noqa: RUF071  # of texts

    def may_be_below(self, folder: str) -> bool:
        return any(glob.may_match_below(folder) for glob in self.globs)


def _may_be_of(glob: Glob, entry: Entry) -> bool:
    """Whether an entry matches, or is a link to a folder whose files may (it has no etag)."""
    is_folder = entry.leads_out and not entry.etag
    return glob.matches(entry.name) or (is_folder and glob.may_match_below(entry.name))


def _common_folder(folders: Sequence[str]) -> str:
    if "" in folders:
        return ""
    parts = [folder.split("/") for folder in folders]
    return "/".join(os.path.commonprefix(parts))  # noqa: RUF071  # of parts, not of characters


def _is_within(folder: str, outer: str) -> bool:
    return not outer or f"{folder}/".startswith(f"{outer}/")


def _with_parents(folder: str) -> Iterator[str]:
    yield folder
    while folder:
        folder = folder.rpartition("/")[0]
        yield folder


def _below(place: Location, folder: str) -> Location:
    return Location(place.scheme, f"{place.root}/{folder}" if folder else place.root)
