"""Runs `sam-label schedule` in this process; has a job file for it."""

from pathlib import Path

import pytest
from commands import ran

JOB = 'input = "s3://photos/${DATE-1d}"\noutput = "s3://masks/${REGION}"\n'


def schedule(capsys: pytest.CaptureFixture[str], job: Path | str, *options: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    return ran(capsys, "schedule", job, *options)
