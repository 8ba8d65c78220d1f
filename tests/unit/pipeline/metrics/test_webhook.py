"""What a webhook receives, on a real server on loopback, and what happens if it does not listen."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from webhook_listener import Listener, listening

from jobs.options.secret_values import kind_of_secret
from jobs.submission.command_words import run_words
from pipeline.config import RunConfig
from pipeline.errors import Interrupted, TooManyFailures, UsageError
from pipeline.metrics import webhook
from pipeline.metrics.report import RunReport
from pipeline.metrics.webhook import announced
from pipeline.run import run

SLACK = "https://hooks.slack.com/services/T0/B0/" + "x" * 24


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as server:
        yield server


def report() -> RunReport:
    found = RunReport("s3://labels", run="r00003", images=5)
    found.count(2, {"EMPTY": 1}, 34)
    return found


def test_a_run_that_finished_is_told_once(listener: Listener) -> None:
    with announced(listener.url, report()):
        pass
    [told] = listener.told
    assert told.pop("elapsed_s") >= 0
    assert told == {
        "run": "r00003",
        "output": "s3://labels",
        "outcome": "finished",
        "exit_code": 0,
        "sentence": None,
        "counts": {"images": 3, "labelled": 2, "failed": {"EMPTY": 1}, "masks": 34, "left": 2},
    }


@pytest.mark.parametrize(
    ("fault", "outcome", "exit_code"),
    [
        (TooManyFailures("3 images failed"), "failed", 3),
        (Interrupted("interrupted"), "interrupted", 130),
        (ValueError("a bug"), "failed", 1),
    ],
)
def test_so_is_one_that_did_not(listener: Listener, fault: Exception, outcome: str, exit_code: int) -> None:
    with pytest.raises(type(fault)), announced(listener.url, report()):
        raise fault
    [told] = listener.told
    assert (told["outcome"], told["exit_code"]) == (outcome, exit_code)


def test_one_that_could_not_begin_is_told_by_the_run_itself(listener: Listener, tmp_path: Any) -> None:
    config = RunConfig(input=str(tmp_path / "nowhere"), output=str(tmp_path / "out"), webhook=listener.url)
    with pytest.raises(UsageError):
        run(config)
    [told] = listener.told
    assert (told["outcome"], told["exit_code"], told["run"]) == ("failed", 2, None)
    assert told["output"] == config.output


def test_a_second_try_is_made_and_no_third(listener: Listener, caplog: pytest.LogCaptureFixture) -> None:
    listener.answers = [503, 200]
    with announced(listener.url, report()):
        pass
    assert (len(listener.told), caplog.messages) == (2, [])
    listener.answers = [503, 503]
    with announced(listener.url, report()):
        pass
    assert len(listener.told) == 4
    [warning] = caplog.records
    assert warning.levelno == logging.WARNING
    assert warning.getMessage().endswith(" failed: HTTP Error 503: Service Unavailable")
    assert "s3cret" not in warning.getMessage()


def test_a_redirect_is_a_fault(listener: Listener, caplog: pytest.LogCaptureFixture) -> None:
    listener.answers = [302, 302]
    with announced(listener.url, report()):
        pass
    assert "HTTP Error 302" in caplog.messages[0]


def test_nobody_listens(
    listener: Listener, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "ANSWER_S", 0.2)
    listener.shutdown()  # it still accepts connections, and answers none
    for fault in (None, Interrupted("interrupted")):
        try:
            with announced(listener.url, report()):
                if fault is not None:
                    raise fault
        except Interrupted:
            pass
    assert [message.partition(": ")[2] for message in caplog.messages] == ["no answer within 0.2 s", ""]


@pytest.mark.parametrize(
    "url", ["ftp://host/x", "hooks/run", "https://", "https://me:pw@host/", "http://169.254.169.254/"]
)
def test_what_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="webhook"):
        RunConfig(input="in", output="out", webhook=url)


def test_its_path_is_kept_and_sent_nowhere() -> None:
    config = RunConfig(input="/in", output="/out", webhook=SLACK)
    assert config.recorded()["webhook"] == "https://hooks.slack.com"
    assert kind_of_secret(SLACK) == "a webhook's URL"
    with pytest.raises(UsageError, match="set SAM_LABEL_WEBHOOK on the cluster instead"):
        run_words(config)
