"""Brings the log of workers, and the errors that end their work, to the driver through the run's ledger.

Ray writes the stderr of workers to files that nobody opens, and hides their exceptions in pages of text. The
ledger stores the last records; the driver fetches them with the progress and logs them as its own.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import ray

from pipeline.errors import SamLabelError
from pipeline.program_log import Origin, logged_by

MOST_LINES = 500  # stored until the driver fetches them; a fault of every image must not fill the memory

# `logged_to`, bound to a run: the context in which each step of the chain works.
Logged: TypeAlias = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class LogLine:
    """A log record as text, since its arguments may be of types that the driver does not have."""

    number: int  # rising, also after the ledger was killed and restarted
    logger: str
    level: int
    text: str
    origin: Origin | None = None


class RecentLines:
    """The last lines that workers have logged."""

    def __init__(self) -> None:
        self._lines: deque[LogLine] = deque(maxlen=MOST_LINES)
        self._last = 0

    def add(self, logger: str, level: int, text: str, origin: Origin | None = None) -> None:
        self._last = max(self._last + 1, time.time_ns())
        self._lines.append(LogLine(self._last, logger, level, text, origin))

    def after(self, number: int) -> tuple[LogLine, ...]:
        """The lines with higher numbers, the oldest first."""
        return tuple(line for line in self._lines if line.number > number)


class LogRelay:
    """The driver's end: logs each text once, or once for each image that it is about.

    A text that was logged before, about another image, is marked as repeated: one line is enough for people.
    """

    def __init__(self) -> None:
        self.last = 0  # number of the last line seen
        self._texts: set[tuple[str, ...]] = set()

    def log(self, lines: Iterable[LogLine]) -> None:
        for line in lines:
            self.last = line.number
            image_id = line.origin.image_id if line.origin else None
            is_repeated = self._was_seen(line.logger, line.text)
            if image_id is None and is_repeated:
                continue
            if image_id is not None and self._was_seen(line.logger, line.text, image_id):
                continue
            extra = {"origin": line.origin, "is_repeated": is_repeated}
            logging.getLogger(line.logger).log(line.level, "%s", line.text, extra=extra)

    def _was_seen(self, *text: str) -> bool:
        if text in self._texts:
            return True
        if len(self._texts) < 2 * MOST_LINES:
            self._texts.add(text)
        return False


@contextmanager
def logged_to(ledger: Any, level: int) -> Iterator[None]:
    """In a worker, inside the block, this program's records at `level` or above go to the ledger.

    A SamLabelError goes there too, and ends the run with its own message.
    """
    with logged_by(ToLedger(ledger), level):
        try:
            yield
        except SamLabelError as fault:
            ray.get(ledger.give_up.remote(fault))  # before the driver learns that the task failed
            raise


class ToLedger(logging.Handler):
    """Sends a worker's records to the ledger."""

    def __init__(self, ledger: Any) -> None:
        super().__init__()
        self._ledger = ledger

    def emit(self, record: logging.LogRecord) -> None:
        if ray.is_initialized():
            origin = Origin.of(record, is_worker=True)
            self._ledger.log.remote(record.name, record.levelno, record.getMessage(), origin)
