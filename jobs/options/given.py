"""What a command was given for a model's options, and where each value came from."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TypeVar

import typer
from pydantic import BaseModel

from jobs.options.fields import ConfigField, config_fields, config_from
from jobs.options.job_file import is_preset
from jobs.options.variables import Variables

Config = TypeVar("Config", bound=BaseModel)
DEFAULT = "default"


@dataclass(frozen=True)
class Given:
    """The values by option name, as text or as TOML gave them; None if not given."""

    values: Mapping[str, object]
    context: typer.Context
    job_file: str | None
    variables: Variables

    def config(self, model: type[Config], may_lack: Collection[str] = ()) -> Config:
        """The model with these values and with variables filled in. Raises: UsageError.

        may_lack: arguments that need not be given; their value is then "no NAME".
        """
        values = {**self.values, **{name: f"no {name.upper()}" for name in may_lack if not self.has(name)}}
        return filled_config(model, values, self.variables, self.place)

    def has(self, name: str) -> bool:
        """Whether the option was given."""
        return self.values.get(name) is not None

    def place(self, field: ConfigField) -> str:
        """The place that a value came from, or should have come from, as a message names it."""
        source = self._source(field)
        if source == "ENVIRONMENT":
            return field.variable
        if source == "DEFAULT_MAP":
            return f"{field.name} in {self.job_file}"
        return field.name.upper() if field.is_positional else field.flag

    def origin(self, field: ConfigField) -> str:
        """The place alone: a flag, a variable of the environment, a job file, a preset, or `default`."""
        if not self.has(field.name):
            return DEFAULT
        if self._source(field) == "DEFAULT_MAP":
            return f"preset {self.job_file}" if is_preset(self.job_file or "") else str(self.job_file)
        return self.place(field)

    def _source(self, field: ConfigField) -> str:
        source = self.context.get_parameter_source(field.name)
        return source.name if source is not None else ""


def filled_config(
    model: type[Config],
    values: Mapping[str, object],
    variables: Variables,
    place: Callable[[ConfigField], str],
) -> Config:
    """As `config_from`, with variables filled in. Raises: UsageError also for a variable without a use."""
    filled = {
        field.name: variables.filled_in(text, place(field))
        for field in config_fields(model)
        if field.is_positional and isinstance(text := values.get(field.name), str)
    }
    variables.refuse_unused()
    return config_from(model, {**values, **filled}, place)
