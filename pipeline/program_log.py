"""The log of this program, handed to one handler; loggers of libraries stay as they are. Imports no Ray."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

LOGGERS = ("sam_label", "sam_core", "pipeline", "jobs")


@contextmanager
def logged_by(handler: logging.Handler, level: int) -> Iterator[None]:
    """The handler gets what this program logs at `level` or above, for the while."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger, before in zip(loggers, levels, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(before)
