"""Patterns of names: `*`, `?` and `[ab]` within a part of a name, `**` over any number of parts.

Matching is case-sensitive, on every store. `[*]` stands for the character itself.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import takewhile

from pipeline.inputs.braces import expanded, has_braces
from sam_core.cached import cached_property

_GLOB = re.compile(r"[*?]|\[.+\]", re.DOTALL)
_ANY_PARTS = "**"


def has_glob(text: str) -> bool:
    """Whether it contains *, ? or a class in brackets."""
    return _GLOB.search(text) is not None


def is_pattern(text: str) -> bool:
    """Whether it has a glob, or braces that stand for several texts."""
    return has_glob(text) or has_braces(text)


@dataclass(frozen=True)
class Glob:
    """A pattern of a whole name, without braces; one that ends in a slash matches all below such folders."""

    text: str

    @cached_property
    def base(self) -> str:
        """The folder that holds every match, by its whole name; "" for the root."""
        return "/".join(takewhile(lambda part: not has_glob(part), self._parts[:-1]))

    @cached_property
    def beginning(self) -> str:
        """The text that every match begins with."""
        base = f"{self.base}/" if self.base else ""
        return base + re.split(r"[*?\[]", self.text.removeprefix(base), maxsplit=1)[0]

    def matches(self, name: str) -> bool:
        return len(self._parts) in self._after(name.split("/"))

    def may_match_below(self, folder: str) -> bool:
        """Whether a name below the folder ("" for the root) may match."""
        after = self._after(folder.split("/") if folder else [])
        return any(place < len(self._parts) for place in after)

    @cached_property
    def _parts(self) -> tuple[str, ...]:
        return tuple((self.text + _ANY_PARTS if self.text.endswith("/") else self.text).split("/"))

    def _after(self, names: Iterable[str]) -> set[int]:
        """How many parts of the pattern the parts of a name may have used up."""
        places = self._with_no_folder({0})
        for name in names:
            used = set()
            for place in places:
                if place == len(self._parts):
                    continue
                if self._parts[place] == _ANY_PARTS:
                    used |= {place, place + 1}
                elif fnmatchcase(name, self._parts[place]):
                    used.add(place + 1)
            places = self._with_no_folder(used)
        return places

    def _with_no_folder(self, places: set[int]) -> set[int]:
        """The places, and those behind a `**` that matches no folder; the last part has to match a name."""
        reached = set(places)
        for place in sorted(places):
            while place < len(self._parts) - 1 and self._parts[place] == _ANY_PARTS:
                place += 1
                reached.add(place)
        return reached


@dataclass(frozen=True)
class NameFilter:
    """The pattern of --include or --exclude, on names relative to the input.

    Without a slash it is matched with the last part of a name, in any folder; `thumbs/` means all in folders
    of that name; any other pattern with a slash is matched with the whole name.
    """

    text: str

    def matches(self, name: str) -> bool:
        return any(glob.matches(name) for glob in self._globs)

    @cached_property
    def _globs(self) -> tuple[Glob, ...]:
        return tuple(
            Glob(text if "/" in text.rstrip("/") else f"{_ANY_PARTS}/{text}") for text in expanded(self.text)
        )
