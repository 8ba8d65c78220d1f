"""How an input is read, and which of its images are taken."""

from dataclasses import asdict, dataclass
from typing import Any

from pipeline.config import RunConfig
from pipeline.store.settings import DEFAULT_ACCESS, Access

# What may differ between two runs that go on with one listing.
_NOT_OF_THE_LISTING = {"access"}


@dataclass(frozen=True)
class SourceOptions:
    """The options of a run that concern its input; each is a field of the same name of RunConfig."""

    follow_links: bool = False
    access: Access = DEFAULT_ACCESS
    frames: str = "first"
    image_column: str | None = None

    @classmethod
    def of(cls, config: RunConfig) -> "SourceOptions":
        return cls(**{name: getattr(config, name) for name in cls.__dataclass_fields__})

    def of_listing(self) -> dict[str, Any]:
        """The options that decide which images are listed, those that are not at their default."""
        default = asdict(DEFAULT)
        return {
            name: value
            for name, value in asdict(self).items()
            if name not in _NOT_OF_THE_LISTING and value != default[name]
        }


DEFAULT = SourceOptions()
