"""`sam-label config`: shows the options that a run would use, and what a job file may hold."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from jobs.arguments import Json
from jobs.options.command_options import given_options
from jobs.options.fields import ConfigField, config_fields
from jobs.options.given import DEFAULT, Given
from jobs.options.job_file import presets as known_presets
from jobs.options.job_file_text import commented_job_file, job_file_of, job_file_schema
from jobs.options.short_help import ShortHelp, ShortHelpGroup
from jobs.options.variables import escaped
from pipeline.config import RunConfig
from pipeline.errors import UsageError
from pipeline.store.uri import has_secret, redacted

config = typer.Typer(cls=ShortHelpGroup, help="Show, check and begin job files.", no_args_is_help=True)

Origin = Annotated[bool, typer.Option("--origin", help="Say where each value came from.")]
NewFile = Annotated[str, typer.Argument(metavar="[FILE]", help="The file to write; - is stdout.")]


@config.command(cls=ShortHelp)
@given_options(RunConfig)
def show(given: Given, origin: Origin = False, json_: Json = False) -> int:
    """Print the options that `run` would use with the same flags, variables and job file, as a job file.

    --origin says where each value comes from: flag, SAM_LABEL_ variable, job file, preset, or default.
    """
    fields = list(config_fields(RunConfig))
    missing = [field.name for field in fields if field.is_positional and not given.has(field.name)]
    checked = given.config(RunConfig, may_lack=missing)
    values = {field.name: None if field.name in missing else _value(checked, field) for field in fields}
    origins = {field.name: given.origin(field) for field in fields}
    if json_:
        rows = {name: {"value": value, "origin": origins[name]} for name, value in values.items()}
        print(json.dumps(rows if origin else values))
        return 0
    as_written = {name: escaped(value) if isinstance(value, str) else value for name, value in values.items()}
    notes = {
        name: place
        for name, place in origins.items()
        if origin and not (name in missing and place == DEFAULT)
    }
    print(job_file_of(as_written, notes), end="")
    return 0


@config.command(cls=ShortHelp)
def schema() -> int:
    """Print the JSON Schema of a job file, with which editors complete and check it."""
    print(json.dumps(job_file_schema(), indent=1))
    return 0


@config.command(cls=ShortHelp)
def init(file: NewFile = "job.toml") -> int:
    """Write a job file that names every option with its default; an existing file is not overwritten."""
    if file == "-":
        print(commented_job_file("job.toml"), end="")
        return 0
    try:
        with Path(file).open("x", encoding="utf-8") as job:
            job.write(commented_job_file(file))
    except FileExistsError:
        raise UsageError(f"{file} exists already; name another file, or - for stdout") from None
    print(file)
    print(f"next: set input and output there, then sam-label run --config {file} --dry-run", file=sys.stderr)
    return 0


@config.command(cls=ShortHelp)
def presets(json_: Json = False) -> int:
    """List the presets that --config accepts in place of a job file, and what each is for."""
    known = known_presets()
    if json_:
        print(json.dumps(known))
        return 0
    for name, purpose in known.items():
        print(f"{name:8} {purpose}")
    print("next: sam-label config show --config quick --origin", file=sys.stderr)
    return 0


def _value(checked: RunConfig, field: ConfigField) -> Any:
    """The checked value, without secrets, which an environment variable may hold."""
    value = field.value_in(checked)
    if field.name == "webhook" and value is not None:
        return checked.recorded()["webhook"]
    return redacted(value) if isinstance(value, str) and has_secret(value) else value
