"""`sam-label run`: turns options into a `RunConfig`, runs it, and prints the summary."""

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.arguments import Json
from jobs.options.command_options import configured_by
from jobs.progress import counted_steps, run_progress
from jobs.run_text import plan_figures, plan_text, summary_text
from pipeline.config import RunConfig
from pipeline.errors import Interrupted, TooManyFailures
from pipeline.shutdown import in_the_time_left

if TYPE_CHECKING:
    from pipeline.run import RunProgress
    from pipeline.summary import RunSummary

SUMMARY_S = 3.0  # of the 30 s that an interrupted run has (pipeline/shutdown.py)
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="List the input, say what would be done, do nothing.")
]


@configured_by(RunConfig)
def run(config: RunConfig, dry_run: DryRun = False, json_: Json = False) -> int:
    """Label the images at INPUT into the dataset at OUTPUT.

    The same command continues a run that was interrupted; once all images are done, it does nothing.

    A flag wins over the environment (SAM_LABEL_WORKERS for --workers), and the environment over the job file.
    --no-refresh turns off what --refresh turns on; so does --no- before every other switch.
    """
    if dry_run:
        from pipeline.plan import plan
        from pipeline.rates.forecast import forecast

        with counted_steps() as on_step:
            planned = plan(config, on_step)
        expected = forecast(config, planned)
        print(
            json.dumps(plan_figures(planned, expected))
            if json_
            else plan_text(planned, expected, config.output)
        )
        return 0
    _label(config, json_)
    return 0


def _label(config: RunConfig, json_: bool) -> None:
    """Runs and prints the summary; if the run is stopped early, prints it before the error is raised."""
    from pipeline.run import run as labelled  # torch and ray load only once the options are right
    from pipeline.summary import summary_so_far

    started_s, has_begun = time.monotonic(), False
    try:
        with run_progress() as (progress, on_step):

            def show(now: "RunProgress") -> None:
                nonlocal has_begun
                has_begun = True
                progress(now)

            summary = labelled(config, progress=show, on_step=on_step)
    except (TooManyFailures, Interrupted):
        elapsed_s = time.monotonic() - started_s
        done = in_the_time_left(lambda: summary_so_far(config, has_begun, elapsed_s), SUMMARY_S)
        if done:
            _print_summary(done, config, json_)
        raise
    _print_summary(summary, config, json_)


def _print_summary(summary: "RunSummary", config: RunConfig, json_: bool) -> None:
    print(json.dumps(asdict(summary)) if json_ else summary_text(summary, config.output, config.overwrite))
