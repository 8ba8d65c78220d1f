"""Counts of an export, part by part: what was written, left out, and lost because of the form."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

PLACELESS = "images without a place on earth"  # a key of `lost`


@dataclass
class Counts:
    """The counts of one part of an export, or of all parts."""

    images: int = 0
    masks: int = 0
    files: int = 0
    bytes: int = 0
    failed: Counter[str] = field(default_factory=Counter)  # images without masks, by Reason
    unmatched: int = 0  # images of which --where leaves no mask
    unavailable: Counter[str] = field(default_factory=Counter)  # images that could not be copied, by Reason
    turned: int = 0  # images that are stored turned; their masks are upright
    lost: Counter[str] = field(default_factory=Counter)  # what the form cannot hold, by a description

    def add(self, other: "Counts") -> None:
        """Adds the counts of another part."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))

    def as_json(self) -> dict[str, Any]:
        """The counts as JSON values."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: dict(value) if isinstance(value, Counter) else value for name, value in values.items()}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Counts":
        """The counts that `as_json` made. Raises: TypeError."""
        values: dict[str, Any] = {
            name: Counter(value) if isinstance(value, dict) else value for name, value in fields.items()
        }
        return cls(**values)
