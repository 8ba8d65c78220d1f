"""`sam-label run`: options to a `RunConfig`, the run, and what it came to."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from jobs.config_fields import ConfigField, config_from
from jobs.config_options import with_config_options
from jobs.job_file import job_values
from jobs.progress import run_progress
from jobs.run_text import plan_text, summary_text
from pipeline.config import RunConfig

POSITIONAL = ("input", "output")


def _read_job_file(context: typer.Context, name: str | None) -> str | None:
    if name is not None:
        context.default_map = job_values(name, RunConfig)
    return name


JobFile = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="FILE",
        envvar="SAM_LABEL_CONFIG",
        show_envvar=False,
        is_eager=True,  # before the options whose defaults it sets
        callback=_read_job_file,
        help="Job file (TOML) with options by name, or the name of a preset: quick, fine.",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="List the input, say what would be done, do nothing.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]


@with_config_options(RunConfig, POSITIONAL)
def run(
    context: typer.Context,
    config: JobFile = None,
    dry_run: DryRun = False,
    json_: Json = False,
    **values: object,
) -> int:
    """Label the images at INPUT into the dataset at OUTPUT; run again, it does what is left.

    A flag wins over the environment (SAM_LABEL_WORKERS for --workers), the environment over the job file.
    """
    run_config = config_from(RunConfig, values, lambda field: _place(context, field, config))
    if dry_run:
        from pipeline.plan import plan

        planned = plan(run_config)
        print(json.dumps(asdict(planned)) if json_ else plan_text(planned, run_config.output))
        return 0
    from pipeline.run import run as label  # torch and ray load only once the options are right

    with run_progress() as progress:
        summary = label(run_config, progress=progress)
    print(json.dumps(asdict(summary)) if json_ else summary_text(summary, run_config.output))
    return 0


def _place(context: typer.Context, field: ConfigField, job_file: str | None) -> str:
    source = context.get_parameter_source(field.name)
    if source is not None and source.name == "ENVIRONMENT":
        return field.variable
    if source is not None and source.name == "DEFAULT_MAP":
        return f"{field.name} in {job_file}"
    return field.name.upper() if field.name in POSITIONAL else field.flag
