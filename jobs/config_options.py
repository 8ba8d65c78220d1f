"""Typer parameters made from a model's fields.

To Typer every option is text (or a switch). The model alone checks and converts it, whether it came from the
command line, the environment or the job file.
"""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from jobs.config_fields import ConfigField, config_fields


def with_config_options(
    model: type[BaseModel], positional: tuple[str, ...]
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """A decorator that gives a command, in place of its `**values`, a parameter for each option."""

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        own = [p for p in inspect.signature(command).parameters.values() if p.kind is not p.VAR_KEYWORD]
        made = [_parameter(field, field.name in positional) for field in config_fields(model)]
        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*own, *made)]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        return command

    return decorate


def _parameter(field: ConfigField, positional: bool) -> inspect.Parameter:
    """Its default is None: whatever the model's own default is, the model fills it in."""
    shown = f" Default: {field.default}." if field.default else ""
    common: dict[str, Any] = {
        "help": f"{field.info.description}{shown}",
        "envvar": field.variable,
        "show_envvar": False,
    }
    if positional:
        how = typer.Argument(metavar=field.name.upper(), **common)
    else:
        panel = f"{field.path[-2].capitalize()} options" if len(field.path) > 1 else "Run options"
        metavar = None if field.is_switch else field.value
        how = typer.Option(field.flag, metavar=metavar, rich_help_panel=panel, **common)
    annotation = Annotated[bool | None if field.is_switch else str | None, how]  # type: ignore[valid-type]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
