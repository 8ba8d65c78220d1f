"""Makes commands whose options are a model's fields, given as flags, in the environment or in a job file.

To Typer every option is a text or a switch. Only the model checks and converts it, and the message about a
wrong value names the place that the value came from.
"""

import inspect
import os
from collections.abc import Callable, Collection, Sequence
from functools import wraps
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from jobs.options.fields import ENVIRONMENT_PREFIX, ConfigField, config_fields
from jobs.options.given import Given
from jobs.options.job_file import job_values, presets
from jobs.options.topics import topic_of
from jobs.options.variables import Variables
from pipeline.config import RunConfig
from pipeline.errors import UsageError
from pipeline.suggestion import suggestion

OTHER_SETTINGS = ["CONFIG", "CACHE"]
# A variable as similar as this to an option counts as that option misspelt. VERSION, which container images
# set, has a similarity of 0.63 to PRECISION; INPUT with a letter missing has 0.89 to INPUT.
MISSPELT = 0.8

# The options of `run` that choose images and say how INPUT and OUTPUT are reached.
OF_THE_PLACES = (
    "input",
    "output",
    "follow_links",
    "anonymous",
    "frames",
    "input_format",
    "uri_column",
    "id_column",
    "keep_columns",
    "image_column",
    "include",
    "exclude",
    "sample",
    "seed",
    "shard",
    "deduplicate",
    *(field.name for field in config_fields(RunConfig) if field.path[0] == "storage"),
)

Var = Annotated[
    list[str] | None,
    typer.Option(
        "--var",
        metavar="NAME=VALUE",
        help="Value of ${NAME} in INPUT and OUTPUT; may be repeated. ${DATE} is today in UTC.",
    ),
]


def configured_by(
    model: type[BaseModel], show_defaults: bool = True
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """A decorator for a command whose first parameter is a `config` of the model; its own options follow."""

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        @wraps(command)
        def with_config(given: Given, **values: Any) -> int:
            return command(given.config(model), **values)

        return given_options(model, show_defaults)(with_config)

    return decorate


def given_options(
    model: type[BaseModel], show_defaults: bool = True, only: Collection[str] | None = None
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """As `configured_by`, but the command's first parameter is `given`, the unchecked values.

    `only` names the options that the command has; a job file may set others, which it ignores.
    """

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        fields = [field for field in config_fields(model) if only is None or field.name in only]

        @wraps(command)
        def with_options(
            context: typer.Context, job_file: str | None, variables: list[str] | None, **values: Any
        ) -> int:
            _refuse_misspelt_variables(fields)
            options = {field.name: _given(values.pop(field.name)) for field in fields}
            return command(Given(options, context, job_file, Variables.given(variables or ())), **values)

        own = list(inspect.signature(command).parameters.values())[1:]
        parameters = [
            _keyword("context", typer.Context, inspect.Parameter.empty),
            _keyword("job_file", _job_file_annotation(model), None),
            _keyword("variables", Var, None),
            *(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own),
            *(_parameter(field, topic_of(field, model), show_defaults) for field in fields),
        ]
        with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return with_options

    return decorate


def _given(value: object) -> object:
    """A value that Typer has filled in; None for the empty list that it gives for a missing flag."""
    return None if value == [] else value


def _parameter(field: ConfigField, topic: str | None, show_default: bool) -> inspect.Parameter:
    """The parameter for an option. Its default is None, for which the model fills in its own default."""
    shown = f" Default: {field.default}." if field.default and show_default else ""
    common: dict[str, Any] = {
        "help": f"{field.sentence}{shown}",
        "envvar": field.variable,
        "show_envvar": False,
    }
    if field.is_positional:
        how = typer.Argument(metavar=field.name.upper(), **common)
    else:
        common["hidden"] = len(field.path) > 2  # they would fill a screen; docs/options.md has them
        how = typer.Option(field.flags, metavar=field.placeholder, rich_help_panel=topic, **common)
    kind = bool | None if field.is_switch else list[str] | None if field.is_list else str | None
    return _keyword(field.name, Annotated[kind, how], None)


def _job_file_annotation(model: type[BaseModel]) -> Any:
    def read(context: typer.Context, name: str | None) -> str | None:
        if name is not None:
            context.default_map = job_values(name, model)
        return name

    # every preset sets options that only a run has
    or_preset = f", or the name of a preset: {', '.join(presets())}" if model is RunConfig else ""
    option = typer.Option(
        "--config",
        metavar="FILE",
        envvar="SAM_LABEL_CONFIG",
        show_envvar=False,
        is_eager=True,  # before the options whose defaults it sets
        callback=read,
        help=f"Job file (TOML) with options by name{or_preset}.",
    )
    return Annotated[str | None, option]


def _refuse_misspelt_variables(fields: Sequence[ConfigField]) -> None:
    """Raises UsageError for a variable that resembles an option's; others may belong to other programs."""
    known = [field.name.upper() for field in (*fields, *config_fields(RunConfig))] + OTHER_SETTINGS
    for variable in os.environ:
        name = variable.removeprefix(ENVIRONMENT_PREFIX)
        if name != variable and name not in known and (hint := suggestion(name, known, MISSPELT)):
            raise UsageError(f"{variable} sets {name}, which is not an option{hint}")


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
