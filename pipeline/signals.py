"""What Ctrl-C, SIGTERM and SIGHUP do during a run. Only the main thread sets handlers, as Python demands.

SIGHUP comes when a terminal or an ssh connection is closed. It ends a run in order, as SIGTERM does, unless
it is ignored, as under nohup.

Slurm and others signal a whole group of processes, and a script in it passes the signal on. So a SIGTERM or
SIGHUP that follows one of its kind within ONE_REQUEST_S is ignored. A second Ctrl-C is a person's: it counts.
"""

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], object]
ONE_REQUEST_S = 2.0  # a script that passes a signal on does so at once, even on a busy machine

_heard_s: dict[int, float] = {}  # when a signal that was not ignored last came, in the outermost block
_within: list[Handler] = []  # of the blocks that are open


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Inside the block SIGTERM and SIGHUP raise KeyboardInterrupt, as Ctrl-C does."""
    with _handled(_ending(), signal.default_int_handler):
        yield


@contextmanager
def sigterm_noted() -> Iterator[threading.Event]:
    """SIGTERM sets the event and does nothing else; Ctrl-C stays as it is."""
    noted = threading.Event()
    with _handled([signal.SIGTERM], lambda number, frame: noted.set()):
        yield noted


@contextmanager
def signals_noted() -> Iterator[threading.Event]:
    """Ctrl-C, SIGTERM and SIGHUP set the event; a second one of the same kind ends the process as usual."""
    noted = threading.Event()
    kinds: set[int] = set()

    def note(number: int, frame: FrameType | None) -> None:
        noted.set()
        if number in kinds:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
            signal.raise_signal(number)
        kinds.add(number)

    with _handled([signal.SIGINT, *_ending()], note):
        yield noted


def _ending() -> list[signal.Signals]:
    """The signals other than Ctrl-C by which a process is asked to end."""
    is_ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [signal.SIGTERM] if is_ignored else [signal.SIGTERM, signal.SIGHUP]


@contextmanager
def _handled(numbers: list[signal.Signals], handler: Handler) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    terminals = [stream.fileno() for stream in (sys.__stdout__, sys.__stderr__) if stream and stream.isatty()]

    def handle(number: int, frame: FrameType | None) -> None:
        now_s = time.monotonic()
        if number != signal.SIGINT and now_s - _heard_s.get(number, -math.inf) < ONE_REQUEST_S:
            return
        _heard_s[number] = now_s
        if number == signal.SIGHUP:  # writing to a closed terminal raises
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for terminal in terminals:
                os.dup2(nowhere, terminal)
            os.close(nowhere)
        handler(number, frame)

    before = {number: signal.getsignal(number) for number in numbers}
    is_outermost = not _within
    _within.append(handle)
    for number in numbers:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler_before in before.items():
            signal.signal(number, handler_before)
        _within.remove(handle)
        if is_outermost:
            _heard_s.clear()
