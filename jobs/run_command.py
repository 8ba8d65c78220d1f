"""`sam-label run`: options to a `RunConfig`, the run, and what it came to."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from jobs.config_options import configured_by
from jobs.progress import run_progress
from jobs.run_text import plan_text, summary_text
from pipeline.config import RunConfig

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="List the input, say what would be done, do nothing.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]


@configured_by(RunConfig)
def run(config: RunConfig, dry_run: DryRun = False, json_: Json = False) -> int:
    """Label the images at INPUT into the dataset at OUTPUT; run again, it does what is left.

    A flag wins over the environment (SAM_LABEL_WORKERS for --workers), the environment over the job file.
    """
    if dry_run:
        from pipeline.plan import plan

        planned = plan(config)
        print(json.dumps(asdict(planned)) if json_ else plan_text(planned, config.output))
        return 0
    from pipeline.run import run as label  # torch and ray load only once the options are right

    with run_progress() as progress:
        summary = label(config, progress=progress)
    print(json.dumps(asdict(summary)) if json_ else summary_text(summary, config.output))
    return 0
