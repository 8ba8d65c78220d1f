"""Runs `sam-label` in this process."""

import pytest

from jobs.cli import main


def ran(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `sam-label` with these words."""
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    written = capsys.readouterr()
    assert isinstance(end.value.code, int)
    return end.value.code, written.out, written.err
