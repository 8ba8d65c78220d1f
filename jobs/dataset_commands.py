"""`sam-label status`, `validate`, `retry` and `gc`: the commands on a dataset that need no model."""

import json
import sys
from contextlib import nullcontext
from dataclasses import asdict
from typing import Annotated

import typer

from jobs.arguments import Json, Output
from jobs.progress import counted_progress, drawn_anew
from jobs.status_text import status_text
from jobs.watch_text import watch_line, watch_lines
from jobs.wording import counted, size
from pipeline.errors import DatasetInvalid, Interrupted, Reason, UsageError
from pipeline.shutdown import exit_process
from pipeline.suggestion import suggestion

Watch = Annotated[
    bool,
    typer.Option(
        "--watch", help="Show it again and again until the run ends; with --json one object per line."
    ),
]
Errors = Annotated[
    list[str] | None,
    typer.Option("--error", metavar="CODE", help="Only images that failed with this reason; repeatable."),
]


def status(output: Output, json_: Json = False, watch: Watch = False) -> int:
    """Show what is done, what failed and why, and what is left; also during a run."""
    if watch:
        return _watch(output, json_)
    from pipeline.output.commands.status import status as dataset_status

    state = dataset_status(output)
    print(json.dumps(asdict(state)) if json_ else status_text(state, output))
    return 0


def _watch(output: str, json_: bool) -> int:
    """Shows the run until it ends; Ctrl-C ends only the watch."""
    from pipeline.output.commands.watch import Look, watched

    last: Look | None = None
    try:
        with drawn_anew() if sys.stdout.isatty() and not json_ else nullcontext() as draw:
            for look in watched(output):
                if draw is not None:
                    draw(watch_lines(look))
                elif not look.is_like(last):
                    print(json.dumps(look.as_json()) if json_ else watch_line(look), flush=True)
                last = look
    except KeyboardInterrupt:
        exit_process(Interrupted.exit_code)
    if last is not None and sys.stdout.isatty() and not json_:
        print(watch_lines(last))
    if not json_:
        print(f"next: sam-label status {output}", file=sys.stderr)
    return 0


def validate(output: Output, json_: Json = False) -> int:
    """Check every row and every mask; exit code 4 if one is wrong."""
    from pipeline.output.commands.validate import validate as dataset_validation

    with counted_progress("images") as progress:
        validation = dataset_validation(output, progress)
    if json_:
        print(json.dumps(asdict(validation)))
    for problem in () if json_ else validation.problems:
        print(problem)
    if not validation.is_valid:
        shown, count = len(validation.problems), validation.problem_count
        part = f", the first {shown} are shown" if shown < count else ""
        raise DatasetInvalid(f"{output} is not valid: {counted(count, 'problem')}{part}")
    if not json_:
        masks = counted(validation.masks, "mask")
        print(f"valid: {counted(validation.labelled, 'image')} with {masks}, {validation.failed} failed")
    return 0


def retry(output: Output, error: Errors = None, json_: Json = False) -> int:
    """Queue failed images, so that the next run labels them again."""
    reasons = [_reason(code) for code in error or ()]
    from pipeline.output.commands.retry import retry as queue_failed

    with counted_progress("images") as progress:
        queued = queue_failed(output, reasons, progress)
    if json_:
        print(json.dumps({"queued": queued}))
        return 0
    print(f"{counted(queued, 'image')} queued again")
    if queued:
        print("next: the same sam-label run as before", file=sys.stderr)
    return 0


def gc(output: Output, json_: Json = False) -> int:
    """Remove the files that killed runs have left behind.

    Rows, files that a run is writing, and files of your own stay.
    """
    from pipeline.output.commands.gc import collect

    with counted_progress("files removed") as progress:
        swept = collect(output, progress)
    if json_:
        print(json.dumps(asdict(swept)))
        return 0
    print(
        f"{counted(swept.files, 'file')} removed, {size(swept.bytes)}" if swept.files else "nothing to remove"
    )
    return 0


def _reason(code: str) -> Reason:
    try:
        return Reason(code.upper())
    except ValueError:
        near = suggestion(code.upper(), Reason) or "; sam-label status OUTPUT lists the reasons in a dataset"
        raise UsageError(f"{code} is not a reason of failure{near}") from None
