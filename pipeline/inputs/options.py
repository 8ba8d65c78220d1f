"""How an input is read, and which of its images are taken."""

from dataclasses import asdict, dataclass
from typing import Any

from pipeline.config import InputFormat, RunConfig
from pipeline.store.settings import DEFAULT_ACCESS, Access

# What may differ between two runs that use the same listing.
_NOT_OF_THE_LISTING = {"access"}


@dataclass(frozen=True)
class SourceOptions:
    """The options of a run that concern its input; each is a field of the same name of RunConfig."""

    follow_links: bool = False
    access: Access = DEFAULT_ACCESS
    frames: str = "first"
    input_format: InputFormat | None = None
    uri_column: str | None = None
    id_column: str | None = None
    keep_columns: str | None = None
    image_column: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    sample: int | None = None
    seed: int = 0
    shard: str | None = None
    deduplicate: bool = False

    @classmethod
    def of(cls, config: RunConfig) -> "SourceOptions":
        return cls(**{name: getattr(config, name) for name in cls.__dataclass_fields__})

    @property
    def kept(self) -> list[str]:
        """The names in `keep_columns`."""
        return [name.strip() for name in self.keep_columns.split(",")] if self.keep_columns else []

    def of_listing(self) -> dict[str, Any]:
        """The options that decide which images are listed, without those at their default."""
        default = asdict(DEFAULT)
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
            if name not in _NOT_OF_THE_LISTING
            and value != default[name]
            and (name != "seed" or self.sample is not None)
        }


DEFAULT = SourceOptions()
