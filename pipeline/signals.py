"""What Ctrl-C, SIGTERM and SIGHUP do during a run. Only the main thread sets handlers, as Python demands.

SIGHUP comes when a terminal or an ssh connection is closed. It ends a run in order, as SIGTERM does, unless
it is ignored, as under nohup.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], object]


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

    def note(number: int, frame: FrameType | None) -> None:
        noted.set()
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

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
        if number == signal.SIGHUP:  # writing to a closed terminal raises
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for terminal in terminals:
                os.dup2(nowhere, terminal)
            os.close(nowhere)
        handler(number, frame)

    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler_before in before.items():
            signal.signal(number, handler_before)
