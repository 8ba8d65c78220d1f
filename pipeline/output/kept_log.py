"""The log of a run in its output, `_runs/<run>.log.jsonl`: written now and then, and when the run ends.

A run that logs nothing leaves no file. The file is named for its run, so an overtaken run overwrites none.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import StoreError
from pipeline.kept_lines import KeptLines
from pipeline.output.format.names import log_name
from pipeline.program_log import about_run
from pipeline.store.storage import Store

KEEP_S = 30.0  # a killed run loses what it logged in its last half minute


class KeptLog:
    """Writes the lines every KEEP_S, in a thread of its own, until `end`."""

    def __init__(self, store: Store, run: str, lines: KeptLines) -> None:
        self._store, self._name, self._lines = store, log_name(run), lines
        self._put = 0
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        threading.Thread(target=self._keep, name="sam-label log", daemon=True).start()

    def end(self) -> None:
        """Stops the thread: from now on only `put` writes."""
        self._is_over.set()

    def put(self) -> None:
        """Writes the lines, if there are new ones. Raises: StoreError."""
        with self._lock:
            number = self._lines.number
            if number > self._put:
                self._store.publish(self._name, self._lines.text().encode())
                self._put = number

    def _keep(self) -> None:
        while not self._is_over.wait(KEEP_S):
            try:
                self.put()
            except StoreError:
                continue  # the next time may reach the store; the run's own writes report the fault


@contextmanager
def kept_log(store: Store, run: str, lines: KeptLines) -> Iterator[KeptLog]:
    """The log of a run, until the end of the block; lines that are logged meanwhile name this run."""
    log = KeptLog(store, run, lines)
    try:
        with about_run(run):
            yield log
    finally:
        log.end()
