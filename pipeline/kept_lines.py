"""The log lines of a run that are stored in its output: the first and the last, MOST_BYTES in all."""

import json
import logging
from collections import deque

from pipeline.program_log import as_json

MOST_BYTES = 1 << 20  # a fault shows at the start or at the end of a log


class KeptLines(logging.Handler):
    """A handler that stores what is logged, a JSON object a line."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        super().__init__()
        self._half = most_bytes // 2
        self._first: list[str] = []
        self._last: deque[str] = deque()
        self._first_bytes = self._last_bytes = 0
        self._dropped = 0
        self.number = 0  # of lines logged, including dropped ones

    def emit(self, record: logging.LogRecord) -> None:
        line = as_json(record)
        self.number += 1
        if not self._last and self._first_bytes + len(line) < self._half:
            self._first.append(line)
            self._first_bytes += len(line) + 1
            return
        self._last.append(line)
        self._last_bytes += len(line) + 1
        while self._last_bytes > self._half:
            self._last_bytes -= len(self._last.popleft()) + 1
            self._dropped += 1

    def text(self) -> str:
        """The lines; where lines were dropped, one line says how many."""
        self.acquire()
        try:
            dropped = [json.dumps({"message": f"{self._dropped} lines left out"})] if self._dropped else []
            return "".join(f"{line}\n" for line in (*self._first, *dropped, *self._last))
        finally:
            self.release()
