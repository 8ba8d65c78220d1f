"""How much is logged on stderr, and in which form."""

import json
import logging
import sys
from datetime import datetime

import pytest

from jobs.cli import main
from jobs.progress import run_progress
from jobs.verbosity import Verbosity, logged_to_stderr, verbosity_of
from pipeline.errors import UsageError
from pipeline.kept_lines import KeptLines
from pipeline.program_log import about_image, about_run, logged_by
from pipeline.run import RunProgress


@pytest.mark.parametrize(
    ("arguments", "verbosity", "others"),
    [
        ("run in out", Verbosity(logging.WARNING), "run in out"),
        ("-v run in out", Verbosity(logging.INFO), "run in out"),
        ("run in --verbose out", Verbosity(logging.INFO), "run in out"),
        ("run in out --log-level error", Verbosity(logging.ERROR), "run in out"),
        ("run --log-level=DEBUG in out", Verbosity(logging.DEBUG), "run in out"),
        ("run in out --debug", Verbosity(logging.DEBUG, debug=True), "run in out"),
        ("run in --log-json out", Verbosity(logging.WARNING, json=True), "run in out"),
        ("-v -v run --log-level error --debug --debug", Verbosity(logging.DEBUG, debug=True), "run"),
        ("run --log-level info -- --log-level debug", Verbosity(logging.INFO), "run -- --log-level debug"),
        ("run -- -v --debug", Verbosity(logging.WARNING), "run -- -v --debug"),
    ],
)
def test_the_flags_may_stand_anywhere(arguments: str, verbosity: Verbosity, others: str) -> None:
    assert verbosity_of(arguments.split()) == (verbosity, others.split())


@pytest.mark.parametrize("arguments", [["--log-level", "loud"], ["--log-level=inf"], ["--log-level"]])
def test_another_level_is_refused(arguments: list[str]) -> None:
    with pytest.raises(UsageError, match="give one of debug, info, warning, error"):
        verbosity_of(arguments)


@pytest.mark.parametrize(
    "line",
    ["--log-level info run --log-level=debug", "run --log-level=info --log-level info"],
)
def test_two_levels_are_refused(line: str) -> None:
    with pytest.raises(UsageError, match=r"^--log-level is given 2 times; give it once$"):
        verbosity_of(line.split())


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


def test_as_json_all_of_stderr_is_an_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "photos", "--log-json"])
    [error] = map(json.loads, capsys.readouterr().err.splitlines())
    assert (error["level"], error["exit_code"], error["run"]) == ("error", 2, None)
    assert error["message"].startswith("sam-label: OUTPUT is missing")
    with logged_to_stderr(logging.WARNING, json=True), run_progress() as (progress, _), about_run("r00007"):
        progress(RunProgress(2, 1, 3))
        with about_image("ab", "file:///a.png"):
            logging.getLogger("sam_core.decoding").warning("slow:\n %s", "twice")
    shown, warned = map(json.loads, capsys.readouterr().err.splitlines())
    assert shown["message"].startswith("3 of 3 images, 1 failed")
    assert (shown["level"], shown["labelled"], shown["failed"], shown["total"]) == ("info", 2, 1, 3)
    assert warned.keys() == {"time", "level", "logger", "message", "run", "image_id", "uri", "node", "worker"}
    assert (warned["logger"], warned["message"]) == ("sam_core.decoding", "slow:\n twice")
    assert (warned["run"], warned["image_id"], warned["uri"]) == ("r00007", "ab", "file:///a.png")
    assert datetime.fromisoformat(warned["time"]).utcoffset() is not None


def test_what_is_kept_holds_warnings_whatever_stderr_shows() -> None:
    kept = KeptLines()
    with logged_to_stderr(logging.ERROR), logged_by(kept):
        logging.getLogger("sam_label.store").warning("kept")
        logging.getLogger("sam_label.store").info("not asked for")
    assert [json.loads(line)["message"] for line in kept.text().splitlines()] == ["kept"]


def test_what_is_kept_is_the_beginning_and_the_end() -> None:
    kept = KeptLines(most_bytes=4000)
    with logged_to_stderr(logging.ERROR), logged_by(kept):
        for number in range(1000):
            logging.getLogger("sam_label.store").warning("%d", number)
    messages = [json.loads(line)["message"] for line in kept.text().splitlines()]
    assert len(kept.text()) <= 4100
    assert (messages[0], messages[-1]) == ("0", "999")
    [left_out] = [message for message in messages if "left out" in message]
    assert int(left_out.split()[0]) == 1000 - (len(messages) - 1)
