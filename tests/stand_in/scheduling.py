"""Runs `sam-label schedule` in this process; has a job file for it."""

from pathlib import Path

import pytest

from jobs.cli import main

JOB = 'input = "s3://photos/${DATE-1d}"\noutput = "s3://masks/${REGION}"\n'


def schedule(capsys: pytest.CaptureFixture[str], job: Path | str, *options: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    with pytest.raises(SystemExit) as end:
        main(["schedule", str(job), *options])
    written = capsys.readouterr()
    assert isinstance(end.value.code, int)
    return end.value.code, written.out, written.err
