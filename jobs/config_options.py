"""Command-line options made from a pydantic model's fields: each is stated once, beside what it configures.

To Typer every option is text (or a flag). The model alone checks and converts it, whether it came from the
command line, the environment or the job file, and the message names the place that it came from.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import typer
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from jobs.suggestion import suggestion
from pipeline.errors import UsageError

ENVIRONMENT_PREFIX = "SAM_LABEL_"
Config = TypeVar("Config", bound=BaseModel)


@dataclass(frozen=True)
class ConfigField:
    """One option: `path` leads to it inside the model, its last part is its name everywhere."""

    path: tuple[str, ...]
    info: FieldInfo

    @property
    def name(self) -> str:
        return self.path[-1]

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return ENVIRONMENT_PREFIX + self.name.upper()

    @property
    def types(self) -> tuple[Any, ...]:
        """The field's types without None, Literals kept whole."""
        annotation = self.info.annotation
        if get_origin(annotation) in (Union, UnionType):
            return tuple(part for part in get_args(annotation) if part is not NoneType)
        return (annotation,)


def config_fields(model: type[BaseModel], group: tuple[str, ...] = ()) -> Iterator[ConfigField]:
    """Every option of a model, those of nested models included, in the order in which they are stated."""
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from config_fields(info.annotation, (*group, name))
        else:
            yield ConfigField((*group, name), info)


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


def config_from(
    model: type[Config], values: Mapping[str, object], place: Callable[[ConfigField], str]
) -> Config:
    """The model filled with the values that were given (None: not given); `place` says where one came from.

    Raises: UsageError: a value is missing, out of its range or of another type.
    """
    fields = {field.path: field for field in config_fields(model)}
    tree: dict[str, Any] = {}
    for field in fields.values():
        if values.get(field.name) is not None:
            branch = tree
            for part in field.path[:-1]:
                branch = branch.setdefault(part, {})
            branch[field.name] = values[field.name]
    try:
        return model.model_validate(tree)
    except ValidationError as invalid:
        first = invalid.errors()[0]
        known = fields.get(tuple(str(part) for part in first["loc"]))
        raise UsageError(_sentence(first, place(known) if known else None)) from None


def _parameter(field: ConfigField, positional: bool) -> inspect.Parameter:
    is_flag = field.types == (bool,)
    default = field.info.get_default(call_default_factory=True) if not field.info.is_required() else None
    common: dict[str, Any] = {
        "help": _help(field, default),
        "envvar": field.variable,
        "show_envvar": False,
    }
    if positional:
        how = typer.Argument(metavar=field.name.upper(), **common)
    else:
        names = [f"{field.flag}/--no-{field.flag[2:]}"] if is_flag and default is True else [field.flag]
        panel = f"{field.path[-2].capitalize()} options" if len(field.path) > 1 else "Run options"
        how = typer.Option(
            *names, metavar=None if is_flag else _metavar(field), rich_help_panel=panel, **common
        )
    annotation = Annotated[bool | None if is_flag else str | None, how]  # type: ignore[valid-type]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _help(field: ConfigField, default: object) -> str:
    shown = f"{default:.4g}" if isinstance(default, float) else str(default)
    return f"{field.info.description}{'' if default in (None, False) else f' Default: {shown}.'}"


def _metavar(field: ConfigField) -> str:
    choices = [
        str(choice) for kind in field.types if get_origin(kind) is Literal for choice in get_args(kind)
    ]
    if choices:
        return "|".join(choices)
    return {int: "N", float: "X", Path: "PATH"}.get(field.types[0], "TEXT")


def _sentence(error: ErrorDetails, place: str | None) -> str:
    reason = error["msg"].removeprefix("Value error, ")
    if place is None:
        return reason
    if error["type"] == "missing":
        return f"{place} is missing: give it on the command line or in a job file"
    given = error["input"]
    choices = str(error.get("ctx", {}).get("expected", "")).replace("'", "").replace(" or ", ", ").split(", ")
    return f"{place} is {given!r}: {reason[0].lower()}{reason[1:]}{suggestion(str(given), choices)}"
