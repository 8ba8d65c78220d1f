"""One request to end may come as two signals; a person's second Ctrl-C is a second request."""

import subprocess
import sys

import pytest

TWICE = """
import signal, sys
from pipeline import signals
number, signals.ONE_REQUEST_S = getattr(signal, sys.argv[1]), float(sys.argv[2])
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may run under nohup
with signals.sigterm_interrupts(), signals.signals_noted() as noted:
    signal.raise_signal(number)
    signal.raise_signal(number)
    print(noted.is_set())
"""
WHILE_IT_ENDS = """
import signal
from pipeline.signals import sigterm_interrupts
with sigterm_interrupts():
    try:
        signal.raise_signal(signal.SIGTERM)
    except KeyboardInterrupt:
        signal.raise_signal(signal.SIGTERM)
        print("in order")
"""

TWO_RUNS = """
import signal
from pipeline.signals import sigterm_interrupts
for run in range(2):
    try:
        with sigterm_interrupts():
            signal.raise_signal(signal.SIGTERM)
    except KeyboardInterrupt:
        print("interrupted")
"""


@pytest.mark.parametrize(
    ("name", "one_request_s", "ended"),
    [
        ("SIGTERM", 60, (0, "True\n")),
        ("SIGHUP", 60, (0, "True\n")),
        ("SIGTERM", 0, (-15, "")),
        ("SIGINT", 60, (-2, "")),
    ],
)
def test_a_second_signal_ends_at_once_unless_it_is_the_same_request(
    name: str, one_request_s: float, ended: tuple[int, str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TWICE, name, str(one_request_s)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == ended


def test_the_same_request_does_not_interrupt_the_end() -> None:
    done = subprocess.run([sys.executable, "-c", WHILE_IT_ENDS], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "in order\n", "")


def test_a_second_run_of_the_process_hears_its_own_request() -> None:
    done = subprocess.run([sys.executable, "-c", TWO_RUNS], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "interrupted\n" * 2)
