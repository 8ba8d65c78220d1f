"""Brace lists and ranges: `{a,b}`, `{000..999}`, one within the other, as in bash and WebDataset.

`{}` and `{a}` are no lists and stay as they are, and so does a brace without its partner.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod

from pipeline.errors import UsageError
from pipeline.store.uri import redacted
from sam_core.cached import cached_property

MOST_NAMES = 1_000_000  # a typo in a range is reported before anything is looked up
_NUMBERS = re.compile(r"(-?\d+)\.\.(-?\d+)(?:\.\.(-?\d+))?")
_LETTERS = re.compile(r"([A-Za-z])\.\.([A-Za-z])(?:\.\.(-?\d+))?")


@dataclass(frozen=True)
class Range:
    """The texts of `{first..last..step}`."""

    numbers: range
    width: int = 0  # digits, filled up with zeros; a sign counts
    are_letters: bool = False

    @property
    def count(self) -> int:
        return len(self.numbers)

    def texts(self) -> Iterator[str]:
        return (chr(number) if self.are_letters else f"{number:0{self.width}}" for number in self.numbers)


@dataclass(frozen=True)
class Choice:
    """The texts of `{a,b}`."""

    options: tuple["Braced", ...]

    @property
    def count(self) -> int:
        return sum(option.count for option in self.options)

    def texts(self) -> Iterator[str]:
        return (text for option in self.options for text in option.texts())


@dataclass(frozen=True)
class Braced:
    """A text with braces in it, taken apart: literal texts, lists and ranges in turn."""

    parts: tuple[str | Range | Choice, ...]

    @cached_property
    def count(self) -> int:
        """How many texts it stands for."""
        return prod(1 if isinstance(part, str) else part.count for part in self.parts)

    def texts(self) -> Iterator[str]:
        """The texts that it stands for, the last list changing fastest; itself if it has no braces."""
        choices = [[part] if isinstance(part, str) else list(part.texts()) for part in self.parts]
        return ("".join(chosen) for chosen in product(*choices))


def expanded(text: str) -> Iterator[str]:
    """The texts that a text with braces stands for. Raises: UsageError for more than a million."""
    braced = _braced(text)
    if braced.count > MOST_NAMES:
        raise UsageError(
            f"{redacted(text)} expands to {braced.count:,} names, more than {MOST_NAMES:,}; give fewer, or "
            "use * instead of the braces"
        )
    return braced.texts()


def has_braces(text: str) -> bool:
    """Whether it stands for other texts than itself."""
    return any(not isinstance(part, str) for part in _braced(text).parts)


def _braced(text: str) -> Braced:
    parts: list[str | Range | Choice] = []
    start = literal = 0
    partners = _partners(text)
    while (start := text.find("{", start)) >= 0:
        end = partners.get(start)
        part = _list_or_range(text[start + 1 : end]) if end is not None else None
        if part is None or end is None:
            start += 1
            continue
        parts += [text[literal:start], part]
        start = literal = end + 1
    return Braced((*parts, text[literal:]))


def _list_or_range(inner: str) -> Range | Choice | None:
    """What stands between two braces; None if that is neither a list nor a range."""
    options = _split(inner)
    if len(options) > 1:
        return Choice(tuple(_braced(option) for option in options))
    if match := _NUMBERS.fullmatch(inner):
        first, last = match[1], match[2]
        # zeros in front of either end set the width of all
        is_padded = any(re.fullmatch(r"-?0\d+", end) for end in (first, last))
        width = max(len(first), len(last)) if is_padded else 0
        return Range(_range(int(first), int(last), match[3]), width)
    if match := _LETTERS.fullmatch(inner):
        return Range(_range(ord(match[1]), ord(match[2]), match[3]), are_letters=True)
    return None


def _range(first: int, last: int, step: str | None) -> range:
    size = abs(int(step or 1)) or 1
    return range(first, last + 1, size) if first <= last else range(first, last - 1, -size)


def _split(inner: str) -> list[str]:
    """The text cut at its commas, but not at those within braces of its own."""
    partners = _partners(inner)
    options, start, place = [], 0, 0
    while place < len(inner):
        if place in partners:
            place = partners[place]
        elif inner[place] == ",":
            options.append(inner[start:place])
            start = place + 1
        place += 1
    return [*options, inner[start:]]


def _partners(text: str) -> dict[int, int]:
    """The place of the closing brace by that of the opening one; unpaired braces are left out."""
    partners: dict[int, int] = {}
    opened: list[int] = []
    for place, character in enumerate(text):
        if character == "{":
            opened.append(place)
        elif character == "}" and opened:
            partners[opened.pop()] = place
    return partners
