"""What a listing leaves out, and why."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum


class Why(StrEnum):
    """Why a file or an image is not labelled."""

    OTHER_FILE = "other file"  # no image by name or content
    EMPTY = "empty"  # and without an image's name: a marker
    LINK = "link out of the input"
    PART = "part of an archive or table"  # no image either; counted and not named
    REPEATED = "repeated in the list"  # a line that names an image again; counted and not named
    HIDDEN = "hidden"  # listed only on request
    EXCLUDED = "excluded"  # by --include or --exclude
    SAMPLE = "not in the sample"
    SHARD = "in another shard"
    DUPLICATE = "duplicate"  # of an image that is taken


UNNAMED = {Why.PART, Why.REPEATED}


@dataclass
class Skipped:
    """How much was left out so far; `tell` is called with each uri that is left out."""

    tell: Callable[[str, Why], None] = lambda uri, why: None
    counts: Counter[Why] = field(default_factory=Counter)

    def add(self, uri: str, why: Why) -> None:
        self.counts[why] += 1
        self.tell(uri, why)
