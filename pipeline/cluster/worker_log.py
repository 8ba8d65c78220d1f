"""What workers log, brought to the driver: Ray keeps their stderr in files that nobody opens.

A worker hands its records to the run's ledger, which keeps the last of them; the driver fetches them with its
progress and logs them as its own.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import ray

from pipeline.program_log import logged_by

MOST_LINES = 500  # kept between two looks of the driver: a fault of every image is to cost no memory

# `logged_to`, bound to a run: what a step of the chain does its work in.
Logged: TypeAlias = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class LogLine:
    """A record, as text: what it was made from may not exist in the driver."""

    number: int  # rising, also when the ledger was killed and begins anew
    logger: str
    level: int
    text: str


class RecentLines:
    """The last lines that workers have logged."""

    def __init__(self) -> None:
        self._lines: deque[LogLine] = deque(maxlen=MOST_LINES)
        self._last = 0

    def add(self, logger: str, level: int, text: str) -> None:
        self._last = max(self._last + 1, time.time_ns())
        self._lines.append(LogLine(self._last, logger, level, text))

    def after(self, number: int) -> tuple[LogLine, ...]:
        """The lines with higher numbers, the oldest first."""
        return tuple(line for line in self._lines if line.number > number)


class LogRelay:
    """The driver's end: logs each line once, and a text that several workers logged once as well."""

    def __init__(self) -> None:
        self.last = 0  # number of the last line seen
        self._texts: set[tuple[str, str]] = set()

    def log(self, lines: Iterable[LogLine]) -> None:
        for line in lines:
            self.last = line.number
            if (line.logger, line.text) not in self._texts:
                if len(self._texts) < MOST_LINES:
                    self._texts.add((line.logger, line.text))
                logging.getLogger(line.logger).log(line.level, "%s", line.text)


@contextmanager
def logged_to(ledger: Any, level: int) -> Iterator[None]:
    """In a worker: what this program logs at `level` or above goes to the ledger, for the while."""
    with logged_by(_ToLedger(ledger), level):
        yield


class _ToLedger(logging.Handler):
    def __init__(self, ledger: Any) -> None:
        super().__init__()
        self._ledger = ledger

    def emit(self, record: logging.LogRecord) -> None:
        if ray.is_initialized():
            self._ledger.log.remote(record.name, record.levelno, record.getMessage())
