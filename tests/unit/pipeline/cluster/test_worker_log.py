"""Log lines of workers: only a few are stored, and the driver logs each once."""

import json
import logging

import pytest

from jobs.verbosity import logged_to_stderr
from pipeline.cluster.attempts import AttemptLedger
from pipeline.cluster.worker_log import MOST_LINES, LogRelay
from pipeline.program_log import Origin, as_json


def test_the_driver_logs_each_line_once(caplog: pytest.LogCaptureFixture) -> None:
    ledger, relay = AttemptLedger(), LogRelay()
    for text in ("first", "second"):
        ledger.log("sam_label.store", logging.WARNING, text)
        relay.log(ledger.tally(relay.last).log)
    relay.log(ledger.tally(relay.last).log)
    assert [(one.name, one.levelname, one.getMessage()) for one in caplog.records] == [
        ("sam_label.store", "WARNING", "first"),
        ("sam_label.store", "WARNING", "second"),
    ]


def test_what_each_of_many_workers_logs_appears_once(caplog: pytest.LogCaptureFixture) -> None:
    ledger, relay = AttemptLedger(), LogRelay()
    for _ in range(8):
        ledger.log("sam_core.decoding", logging.WARNING, "no compiler here: 100% slower")
    relay.log(ledger.tally(relay.last).log)
    assert caplog.messages == ["no compiler here: 100% slower"]


def test_a_text_about_several_images_is_one_line_for_people_and_one_an_image_for_json(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger, relay = AttemptLedger(), LogRelay()
    for image_id in ("a", "b", "a"):
        origin = Origin(0.0, "node", 7, image_id, f"file:///{image_id}")
        ledger.log("sam_core.decoding", logging.WARNING, "odd", origin)
    with logged_to_stderr(logging.WARNING):
        relay.log(ledger.tally(relay.last).log)
    assert capsys.readouterr().err == "sam-label: warning: odd\n"
    lines = [json.loads(as_json(record)) for record in caplog.records]
    assert [(line["image_id"], line["worker"], line["node"]) for line in lines] == [
        ("a", 7, "node"),
        ("b", 7, "node"),
    ]


def test_lines_of_a_ledger_that_was_started_anew_are_not_missed(caplog: pytest.LogCaptureFixture) -> None:
    relay = LogRelay()
    for text in ("before", "after"):
        ledger = AttemptLedger()
        ledger.log("sam_label", logging.ERROR, text)
        relay.log(ledger.tally(relay.last).log)
    assert caplog.messages == ["before", "after"]


def test_a_flood_keeps_the_last_lines_only() -> None:
    ledger = AttemptLedger()
    for number in range(3 * MOST_LINES):
        ledger.log("sam_label", logging.INFO, str(number))
    lines = ledger.tally().log
    assert [line.text for line in lines[-2:]] == [str(3 * MOST_LINES - 2), str(3 * MOST_LINES - 1)]
    assert len(lines) == MOST_LINES
