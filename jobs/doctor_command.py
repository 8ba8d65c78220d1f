"""`sam-label doctor`: finds what would hinder a run on this machine, before there is a run."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from jobs.arguments import JsonList
from jobs.options.command_options import OF_THE_PLACES, given_options
from jobs.options.given import Given
from jobs.wording import counted
from pipeline.config import RunConfig
from pipeline.errors import SamLabelError

if TYPE_CHECKING:
    from pipeline.doctor.finding import Finding

PLACES = ("input", "output")


@given_options(RunConfig, only=(*OF_THE_PLACES, "address"))
def doctor(given: Given, json_: JsonList = False) -> int:
    """Check this machine and a run's input, output and cluster, and say how to fix faults.

    It reads an image of INPUT, and writes a file to OUTPUT and removes it again. Both may be left out.

    Exit code 1 if a run would fail.
    """
    config = given.config(RunConfig, may_lack=PLACES)
    from pipeline.doctor.examination import findings
    from pipeline.doctor.finding import State

    seen = []
    for finding in findings(config, [name for name in PLACES if given.has(name)]):
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
