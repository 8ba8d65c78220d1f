"""Waits end at a limit and on a signal, and leave no trace in a process that goes on."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from pipeline.errors import SamLabelError
from pipeline.shutdown import answer, in_the_time_left, is_ending

INTERRUPTED_WHILE_IT_WAITS = """
import signal, sys, threading, time
from pipeline.shutdown import answer, exit_process
from pipeline.signals import sigterm_interrupts
threading.Timer(0.2, signal.raise_signal, [getattr(signal, sys.argv[1])]).start()
began = time.monotonic()
with sigterm_interrupts():
    try:
        answer(lambda: time.sleep(60), 60, "a cluster that hangs")
    except KeyboardInterrupt:
        print(time.monotonic() - began < 30)
        exit_process(130)
"""


@pytest.fixture
def hang() -> Iterator[threading.Event]:
    """An event that a call can wait for until the test ends."""
    event = threading.Event()
    yield event
    event.set()


def test_a_call_that_hangs_is_left_in_one_sentence(hang: threading.Event) -> None:
    with pytest.raises(SamLabelError, match=r"the cluster at x did not answer within 0\.05 s; check that"):
        answer(hang.wait, 0.05, "the cluster at x")


def test_an_answer_and_a_fault_come_through() -> None:
    assert answer(lambda: 7, 60, "nobody") == 7
    with pytest.raises(ZeroDivisionError):
        answer(lambda: 1 // 0, 60, "nobody")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_the_wait_and_the_process(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_WHILE_IT_WAITS, name],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "True\n", "")


def test_the_end_of_a_run_is_over_once_nobody_waits(hang: threading.Event) -> None:
    seen: list[bool] = []
    left = threading.Event()

    def call() -> None:
        seen.append(is_ending())
        hang.wait()
        seen.append(is_ending())
        left.set()

    assert not is_ending()
    assert in_the_time_left(call, 0.05) is None
    assert not is_ending(), "every later store call of this process would give up at once"
    hang.set()
    assert left.wait(60)
    assert seen == [True, True], "the call that was left behind still tries nothing twice"


def test_signals_are_what_they_were() -> None:
    before = signal.getsignal(signal.SIGINT)
    in_the_time_left(lambda: None, 1)
    assert signal.getsignal(signal.SIGINT) is before
