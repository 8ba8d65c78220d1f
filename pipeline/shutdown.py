"""The end of a run: waits that a signal can end, and what a failed run still does.

Schedulers leave 30 s between SIGTERM and SIGKILL. Even if the store and Ray hang, a run ends in that time,
which is shared out: images in progress (DRAIN_S and ABANDON_S, cluster/supervise.py), the look at the cluster
(END_S, cluster/watch.py), Ray (FAILED_END_S, cluster/start.py), output (CLOSE_S and RELEASE_S, output/),
webhook (INTERRUPTED_S, metrics/webhook.py) and summary (SUMMARY_S, jobs/run_command.py). While a run ends no
call is retried, and a call that hangs is left behind: the process exits without waiting for it. In a process
that goes on, such as a program that uses the library, calls are retried again once no such wait is left.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Generic, NoReturn, TypeVar

from pipeline.errors import SamLabelError

T = TypeVar("T")

LOOK_UP_S = 0.1  # soon enough for a person who pressed Ctrl-C
TRY_AGAIN = "check that it is up and reachable from here, then run again"

_log = logging.getLogger("sam_label")
_lock = threading.Lock()
_waiting = 0  # calls that the end of a run waits for
_left_behind: list[threading.Thread] = []
_is_end_of_run = ContextVar("_is_end_of_run", default=False)


class Call(threading.Thread, Generic[T]):
    """A call in its own thread, which nobody has to wait for."""

    def __init__(self, call: Callable[[], T], name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._call = call
        self.answers: list[T] = []
        self.fault: BaseException | None = None

    def run(self) -> None:
        try:
            self.answers.append(self._call())
        except BaseException as fault:  # noqa: BLE001  # for the thread that waits
            self.fault = fault

    def wait(self, limit_s: float) -> None:
        """Waits for the call, at most `limit_s`; polls, since a signal may reach another thread."""
        deadline = time.monotonic() + limit_s
        while self.is_alive() and (left_s := deadline - time.monotonic()) > 0:
            self.join(min(LOOK_UP_S, left_s))

    def leave_behind(self) -> None:
        """Notes that nobody waits for this call any more; `exit_process` does not wait either."""
        _left_behind.append(self)


def answer(call: Callable[[], T], limit_s: float, waited_for: str) -> T:
    """What the call returns; a signal handler that raises ends the wait, and the call is left behind.

    For calls into libraries, which know neither deadlines nor signals. Raises: SamLabelError after `limit_s`,
    with `waited_for` as its subject; whatever the call raises.
    """
    thread = Call(call, "sam-label call")
    thread.start()
    try:
        thread.wait(limit_s)
    finally:
        if thread.is_alive():
            thread.leave_behind()
    if thread.is_alive():
        raise SamLabelError(f"{waited_for} did not answer within {limit_s:g} s; {TRY_AGAIN}")
    if thread.fault is not None:
        raise thread.fault
    return thread.answers[0]


def in_the_time_left(call: Callable[[], T], limit_s: float) -> T | None:
    """What the call returns; None if it fails, or does not return within `limit_s`.

    Its fault is only logged: the fault that ended the run is the one to report. A call that was left behind
    may still do its work later, or half of it; it retries nothing.
    """
    global _waiting

    def at_the_end_of_a_run() -> T:
        _is_end_of_run.set(True)  # in this thread, which has a context of its own
        return call()

    thread = Call(at_the_end_of_a_run, "sam-label end")
    with _lock:
        _waiting += 1
    try:
        thread.start()
        thread.wait(limit_s)
    finally:
        with _lock:
            _waiting -= 1
        if thread.is_alive():
            thread.leave_behind()
    if thread.fault is not None:
        _log.debug("closing at the end of a run failed: %s", thread.fault)
    return thread.answers[0] if thread.answers else None


def is_ending() -> bool:
    """Whether a run is ending and waits for a call, or this call was left behind: then nothing is retried."""
    return _waiting > 0 or _is_end_of_run.get()


def exit_process(code: int) -> NoReturn:
    """Ends the process; at once if a call left behind still runs, since Python would wait for its threads."""
    if any(thread.is_alive() for thread in _left_behind):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
