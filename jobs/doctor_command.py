"""`sam-label doctor`: what a run would meet on this machine, before there is a run."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.wording import counted
from pipeline.errors import SamLabelError

if TYPE_CHECKING:
    from pipeline.doctor.finding import Finding


def doctor(
    input_: Annotated[
        str | None, typer.Argument(metavar="[INPUT]", help="The images of a run: tried by reading one.")
    ] = None,
    output: Annotated[
        str | None,
        typer.Argument(help="The dataset of a run: tried by one file, which is removed again."),
    ] = None,
    address: Annotated[
        str | None, typer.Option("--address", metavar="HOST:PORT", help="A Ray cluster to reach.")
    ] = None,
    anonymous: Annotated[
        bool, typer.Option("--anonymous", help="Read INPUT without credentials, as `run --anonymous` does.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the findings as one JSON list.")] = False,
) -> int:
    """Look at this machine, and at a run's input, output and cluster; say what to do about each fault.

    Exit code 1 if a run would fail.
    """
    from pipeline.doctor.examination import findings
    from pipeline.doctor.finding import State

    seen = []
    for finding in findings(input_, output, address, anonymous):
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
