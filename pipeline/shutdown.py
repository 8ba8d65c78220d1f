"""The end of a run: signals that ask for it, and what a failed run still does in the time that it has.

Schedulers leave 30 s between SIGTERM and SIGKILL. If the store and Ray hang too, these seconds go to the
images at work (DRAIN_S and ABANDON_S, cluster/supervise.py), to Ray (RAY_END_S, cluster/session.py), to the
output (CLOSE_S and RELEASE_S, output/) and to the summary (SUMMARY_S, jobs/run_command.py). While a run
ends no call is tried twice, and one that hangs is left behind; the process exits without waiting for it.
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn, TypeVar

T = TypeVar("T")

_log = logging.getLogger("sam_label")
_lock = threading.Lock()
_under_way = 0


def in_the_time_left(call: Callable[[], T], limit_s: float) -> T | None:
    """What the call returns; None where it fails, or does not return within `limit_s`.

    Its fault is passed over: the one that ended the run is the one to tell. A call that was left behind may
    still do its work later, or half of it.
    """
    answers: list[T] = []

    def once() -> None:
        global _under_way
        try:
            answers.append(call())
        except Exception as fault:  # noqa: BLE001  # whatever it is, the run has ended for another
            _log.debug("at the end of a run: %s", fault)
        finally:
            with _lock:
                _under_way -= 1

    global _under_way
    with _lock:
        _under_way += 1
    thread = threading.Thread(target=once, name="sam-label end", daemon=True)
    thread.start()
    thread.join(limit_s)
    return answers[0] if answers else None


def is_ending() -> bool:
    """Whether such a call is under way: then nothing waits to try again."""
    return _under_way > 0


def exit_process(code: int) -> NoReturn:
    """Ends the process; at once where a call was left behind, since Python would wait for its threads."""
    if is_ending():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt for the while, as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def signals_noted() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM set the event; a second one of either ends the process as usual."""
    noted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: FrameType | None) -> None:
        noted.set()
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.default_int_handler)

    for number in before:
        signal.signal(number, note)
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
