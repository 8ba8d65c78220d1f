"""`sam-label doctor`: what a run would meet on this machine, before there is a run."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.options.command_options import OF_THE_PLACES, given_options
from jobs.options.given import Given
from jobs.wording import counted
from pipeline.config import RunConfig
from pipeline.errors import SamLabelError

if TYPE_CHECKING:
    from pipeline.doctor.finding import Finding

Json = Annotated[bool, typer.Option("--json", help="Print the findings as one JSON list.")]


@given_options(RunConfig, only=(*OF_THE_PLACES, "address"))
def doctor(given: Given, json_: Json = False) -> int:
    """Look at this machine, and at a run's input, output and cluster; say what to do about each fault.

    INPUT is tried by reading an image, OUTPUT by one file, which is removed again; none has to be named.

    Exit code 1 if a run would fail.
    """
    named = {name for name in ("input", "output") if given.values.get(name) is not None}
    nowhere = {name: f"no {name.upper()}" for name in ("input", "output") if name not in named}
    config = Given({**given.values, **nowhere}, given.context, given.job_file, given.variables).config(
        RunConfig
    )
    from pipeline.doctor.examination import findings
    from pipeline.doctor.finding import State

    seen = []
    for finding in findings(config, named):
        seen.append(finding)
        if not json_:
            print(_line(finding), flush=True)
    if json_:
        print(json.dumps([asdict(finding) for finding in seen]))
    faults = [finding.what for finding in seen if finding.state is State.FAULT]
    if faults:
        raise SamLabelError(f"a run would fail for {counted(len(faults), 'fault')}: {', '.join(faults)}")
    return 0


def _line(finding: "Finding") -> str:
    line = f"{finding.state:8}{finding.what}: {finding.says}"
    return f"{line}\n        -> {finding.fix}" if finding.fix else line
