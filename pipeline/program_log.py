"""Sends this program's log to one handler; loggers of libraries stay as they are. Imports no Ray.

A record knows where it was logged and which image it is about. As JSON it is one object:
time, level, logger, message, run, image_id, uri, node, worker.
"""

import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

LOGGERS = ("sam_label", "sam_core", "pipeline", "jobs")
MOST_CHARACTERS = 10_000  # of a message in JSON; some libraries log pages of text

_image: ContextVar[tuple[str, str] | None] = ContextVar("_image", default=None)
_run: str | None = None
_is_json = False


@dataclass(frozen=True)
class Origin:
    """When and where a record was logged, and the image that it is about."""

    time_s: float
    node: str
    worker: int | None  # the pid of a worker of Ray; None for the command itself
    image_id: str | None = None
    uri: str | None = None

    @classmethod
    def of(cls, record: logging.LogRecord, is_worker: bool = False) -> "Origin":
        """The origin that the record carries; without one, this process and the record's time."""
        known: Origin | None = getattr(record, "origin", None)
        image_id, uri = _image.get() or (None, None)
        worker = os.getpid() if is_worker else None
        return known or cls(record.created, socket.gethostname(), worker, image_id, uri)


@contextmanager
def logged_by(handler: logging.Handler, level: int | None = None) -> Iterator[None]:
    """Inside the block the handler gets this program's records, at `level` or above if one is given."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logger.level if level is None else level)
    try:
        yield
    finally:
        for logger, before in zip(loggers, levels, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(before)


@contextmanager
def about_image(image_id: str, uri: str) -> Iterator[None]:
    """Inside the block, what this thread logs is marked as about the image."""
    token = _image.set((image_id, uri))
    try:
        yield
    finally:
        _image.reset(token)


@contextmanager
def about_run(run: str) -> Iterator[None]:
    """Inside the block, what this process logs is marked as about the run."""
    global _run
    before, _run = _run, run
    try:
        yield
    finally:
        _run = before


@contextmanager
def stderr_is_json(is_so: bool) -> Iterator[None]:
    """Inside the block, if `is_so`, this program writes one JSON object a line to stderr."""
    global _is_json
    before, _is_json = _is_json, is_so
    try:
        yield
    finally:
        _is_json = before


def for_stderr(sentence: str, logger: str, level: int = logging.INFO, **others: Any) -> str:
    """The line for a sentence that is no log record: as it is, or as JSON with the `others` as fields."""
    if not _is_json:
        return sentence
    return as_json(logging.LogRecord(logger, level, "", 0, "%s", (sentence,), None), **others)


def is_stderr_json() -> bool:
    return _is_json


def as_json(record: logging.LogRecord, **others: Any) -> str:
    """The record as a JSON object on one line, with the `others` as further fields."""
    origin = Origin.of(record)
    fields = {
        "time": datetime.fromtimestamp(origin.time_s, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": record.getMessage()[:MOST_CHARACTERS],
        "run": _run,
        "image_id": origin.image_id,
        "uri": origin.uri,
        "node": origin.node,
        "worker": origin.worker,
    }
    return json.dumps(fields | others)
