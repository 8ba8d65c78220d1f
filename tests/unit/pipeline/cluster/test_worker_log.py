"""Log lines of workers: kept in small numbers, and logged once each by the driver."""

import logging

import pytest

from pipeline.cluster.attempts import AttemptLedger
from pipeline.cluster.worker_log import MOST_LINES, LogRelay


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
