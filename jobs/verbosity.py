"""How much of the log goes to stderr, and in which form: warnings as text, or what the flags ask for.

The flags may stand anywhere in the command line, since people add them to a command that has just failed.
"""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from jobs.options.given_once import refuse_repeated
from pipeline.errors import UsageError
from pipeline.program_log import as_json, logged_by, stderr_is_json
from pipeline.store.uri import printable
from pipeline.suggestion import suggestion

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


@dataclass(frozen=True)
class Verbosity:
    """What the flags ask for."""

    level: int = logging.WARNING
    debug: bool = False  # tracebacks too
    json: bool = False  # a JSON object a line


def verbosity_of(arguments: Sequence[str]) -> tuple[Verbosity, list[str]]:
    """What the flags among the arguments ask for, and the other arguments.

    Raises: UsageError for an unknown level, and for several.
    """
    level, levels, debug, json, others = logging.WARNING, 0, False, False, []
    words = iter(arguments)
    for word in words:
        name, _, value = word.partition("=")
        if word == "--":
            others += [word, *words]
        elif word == "--debug":
            debug = True
        elif word == "--log-json":
            json = True
        elif word in ("-v", "--verbose"):
            level = min(level, logging.INFO)
        elif name == "--log-level":
            level = _level(value if word != name else next(words, ""))
            levels += 1
        else:
            others.append(word)
    refuse_repeated("--log-level", levels)
    return Verbosity(logging.DEBUG if debug else level, debug, json), others


@contextmanager
def logged_to_stderr(level: int, json: bool = False) -> Iterator[None]:
    """Writes the program's log from `level` on to stderr, a line a record, until the end of the block.

    Other handlers get warnings at any `level`, since the log in the output holds them.
    """
    handler = _Stderr()
    handler.setLevel(level)
    if json:
        handler.setFormatter(_AsJson())
    else:
        handler.setFormatter(_OneLine("sam-label: %(levelname)s: %(message)s"))
        handler.addFilter(lambda record: not getattr(record, "is_repeated", False))
    with logged_by(handler, min(level, logging.WARNING)), stderr_is_json(json):
        yield


def _level(name: str) -> int:
    if name.lower() not in LEVELS:
        raise UsageError(
            f"--log-level is {name!r}: give one of {', '.join(LEVELS)}{suggestion(name.lower(), LEVELS)}"
        )
    return LEVELS[name.lower()]


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to the current sys.stderr: a progress bar replaces it, so that the log stays above the bar."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


class _AsJson(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return as_json(record)


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        record.levelname = record.levelname.lower()
        return printable(" ".join(super().format(record).split()))  # a bar writes it past jobs/printed.py
