"""Reads a configuration from the words of `sam-label run`, for commands that start a run elsewhere."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import typer
from pydantic import BaseModel

from jobs.options.command_options import configured_by
from jobs.options.given import filled_config
from jobs.options.given_once import GivenOnce
from jobs.options.job_file import job_values
from jobs.options.variables import Variables

Config = TypeVar("Config", bound=BaseModel)


def config_of(model: type[Config], words: Sequence[str]) -> Config:
    """The configuration that the words, environment and job file give to `run`. Raises: as `run`."""
    app, seen = typer.Typer(add_completion=False), []

    @app.command(cls=GivenOnce)
    @configured_by(model)
    def command(config: Config) -> int:
        seen.append(config)
        return 0

    app(list(words), prog_name="sam-label run", standalone_mode=False)
    return seen[0]


def job_file_config(job_file: Path, model: type[Config], assignments: Sequence[str]) -> Config:
    """The configuration of a job file alone, as schedulers run it. Raises: UsageError if it is incomplete."""
    values, variables = job_values(str(job_file), model), Variables.given(assignments)
    return filled_config(model, values, variables, lambda field: f"{field.name} in {job_file}")
