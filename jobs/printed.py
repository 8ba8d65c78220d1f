"""The standard streams as a person may read them: nothing that is printed steers the terminal.

Names and sentences come from files, datasets, locks and servers that somebody else has made. A name inside a
sentence is redacted too (pipeline/store/uri.py), so that it cannot end the line.

Work goes on if nobody reads stderr any more, as after `2>&1 | tee log` whose tee was killed. Without a reader
of stdout a command ends, as after `| head`.
"""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO, cast

from pipeline.store.uri import printable


@contextmanager
def printable_streams() -> Iterator[None]:
    """Inside the block, control characters other than line ends and tabs are printed as escapes."""
    nowhere = io.StringIO()  # for a stream that was closed before the start, which is None
    stdout, stderr = _Printed(sys.stdout or nowhere), _Outliving(sys.stderr or nowhere)
    with redirect_stdout(cast(TextIO, stdout)), redirect_stderr(cast(TextIO, stderr)):
        try:
            yield
        finally:
            _finish(stdout)
            stdout.is_in_use = stderr.is_in_use = False


def _finish(stdout: "_Printed") -> None:
    """Writes what the stream still holds. If that fails, it is dropped: Python would try again at its end."""
    try:
        stdout.flush()
    except OSError:
        _to_nowhere(stdout.fileno())


def _to_nowhere(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


class _Printed:
    """A stream of text; its `buffer` takes bytes as they are."""

    def __init__(self, stream: TextIO) -> None:
        # by this name rich finds the stream for its bars and the colours of a help
        self.rich_proxied_file = stream
        # After the block, Ray's colorama writes to the stream that it has kept: it resets the colours.
        self.is_in_use = True

    def write(self, text: str) -> int:
        self.rich_proxied_file.write(printable(text) if self.is_in_use else text)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


class _Outliving(_Printed):
    """A stream that goes to /dev/null once its reader has ended."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except BrokenPipeError:
            _to_nowhere(self.rich_proxied_file.fileno())
            return len(text)
