"""`sam-label status`, `validate`, `retry` and `gc`: the commands on a dataset that need no model."""

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from jobs.status_text import status_text
from jobs.wording import counted, size
from pipeline.errors import DatasetInvalid, Reason, UsageError
from pipeline.suggestion import suggestion

Output = Annotated[str, typer.Argument(help="A dataset that `sam-label run` has written: a folder or a URL.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Errors = Annotated[
    list[str] | None,
    typer.Option(
        "--error", metavar="CODE", help="Only images that failed with this reason; may be repeated."
    ),
]


def status(output: Output, json_: Json = False) -> int:
    """What is done, what failed and why, what is left, and who is writing; also while a run goes on."""
    from pipeline.output.commands.status import status as dataset_status

    state = dataset_status(output)
    print(json.dumps(asdict(state)) if json_ else status_text(state, output))
    return 0


def validate(output: Output, json_: Json = False) -> int:
    """Check every row and every mask; exit code 4 if one is wrong."""
    from pipeline.output.commands.validate import validate as dataset_validation

    validation = dataset_validation(output)
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


def retry(output: Output, error: Errors = None) -> int:
    """Queue failed images again: the next run labels them anew."""
    reasons = [_reason(code) for code in error or ()]
    from pipeline.output.commands.retry import retry as queue_failed

    queued = queue_failed(output, reasons)
    print(f"{counted(queued, 'image')} queued again")
    if queued:
        print("next: the same sam-label run as before", file=sys.stderr)
    return 0


def gc(output: Output) -> int:
    """Remove what killed runs have left behind; what counts, is being written or is yours stays as it is."""
    from pipeline.output.commands.gc import collect

    swept = collect(output)
    print(
        f"{counted(swept.files, 'file')} removed, {size(swept.bytes)}" if swept.files else "nothing to remove"
    )
    return 0


def _reason(code: str) -> Reason:
    try:
        return Reason(code.upper())
    except ValueError:
        raise UsageError(f"{code} is no reason of failure{suggestion(code.upper(), Reason)}") from None
