"""How much is logged on stderr, and what stderr looks like."""

import logging
import sys

import pytest

from jobs.verbosity import Verbosity, logged_to_stderr, verbosity_of
from pipeline.errors import UsageError


@pytest.mark.parametrize(
    ("arguments", "verbosity", "others"),
    [
        ("run in out", Verbosity(logging.WARNING), "run in out"),
        ("-v run in out", Verbosity(logging.INFO), "run in out"),
        ("run in --verbose out", Verbosity(logging.INFO), "run in out"),
        ("run in out --log-level error", Verbosity(logging.ERROR), "run in out"),
        ("run --log-level=DEBUG in out", Verbosity(logging.DEBUG), "run in out"),
        ("run in out --debug", Verbosity(logging.DEBUG, debug=True), "run in out"),
        ("run -- -v --debug", Verbosity(logging.WARNING), "run -- -v --debug"),
    ],
)
def test_the_flags_may_stand_anywhere(arguments: str, verbosity: Verbosity, others: str) -> None:
    assert verbosity_of(arguments.split()) == (verbosity, others.split())


@pytest.mark.parametrize("arguments", [["--log-level", "loud"], ["--log-level=inf"], ["--log-level"]])
def test_another_level_is_refused(arguments: list[str]) -> None:
    with pytest.raises(UsageError, match="give one of debug, info, warning, error"):
        verbosity_of(arguments)


def test_a_record_is_a_line_and_the_loggers_are_as_they_were(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["sam_label", "sam_core", "pipeline", "jobs"]
    before = [(logging.getLogger(name).level, logging.getLogger(name).handlers[:]) for name in names]
    with logged_to_stderr(logging.INFO):
        logging.getLogger("sam_label.store").info("cannot read %s:\n  the store is slow", "s3://a")
        logging.getLogger("sam_core.decoding").debug("not asked for")
        logging.getLogger("somebody.else").info("not ours")
    assert [(logging.getLogger(name).level, logging.getLogger(name).handlers) for name in names] == before
    written = capsys.readouterr()
    assert (written.out, written.err) == ("", "sam-label: info: cannot read s3://a: the store is slow\n")


def test_the_log_goes_where_stderr_is_at_the_moment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with logged_to_stderr(logging.WARNING):
        monkeypatch.setattr(sys, "stderr", sys.stdout)  # as rich does while a bar is shown
        logging.getLogger("sam_label").warning("seen")
    assert capsys.readouterr().out == "sam-label: warning: seen\n"
