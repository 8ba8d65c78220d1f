"""Shows on stderr how far a run is: a bar on a terminal, now and then a line of text everywhere else.

rich honours NO_COLOR. The images/s are of this run alone, so that a resumed run shows its own speed. Log
lines appear above the bar.

A console is given the stream that it writes to. By itself it takes the current one, which is a proxy of rich
once a bar is shown, and behind the proxy jobs/printed.py makes text of the characters that move the cursor.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from pipeline.program_log import for_stderr, is_stderr_json
from pipeline.progress import Progress, Steps
from pipeline.store.uri import printable

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

    from pipeline.run import RunProgress

SAME_LINE_EVERY_S = 60.0  # so that the reader of a log can tell a slow run from one that hangs
LINE_EVERY_S = 10.0  # often enough to show that the run goes on, and the log stays short
BAR_AFTER_S = 2.0  # what ends sooner needs no bar


@contextmanager
def run_progress() -> Iterator[tuple[Callable[["RunProgress"], None], Steps]]:
    """Two callbacks that show a run's progress and that of the steps before, until the end of the block."""
    if not _is_for_eyes():
        yield _Lines().show, _CountLines().show
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[failed]} failed"),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    # The time left is judged by the last five minutes: an image may take many seconds.
    with Bar(*columns, console=Console(file=sys.stderr), speed_estimate_period=300) as bar:
        task = bar.add_task("starting", total=None, failed=0, speed="")
        speed = _Speed()

        def show(now: "RunProgress") -> None:
            ended = now.labelled + now.failed
            bar.update(
                task,
                description="images",
                completed=ended,
                total=now.total,
                failed=now.failed,
                speed=speed.text(ended),
            )

        def show_step(what: str, done: int, whole: int) -> None:
            bar.update(task, description=_count(what, done, whole))

        yield show, show_step


@contextmanager
def counted_progress(what: str) -> Iterator[Progress]:
    """A callback that shows how many `what` are done; it shows nothing in the first seconds."""
    with counted_steps() as show:
        yield partial(show, what)


@contextmanager
def counted_steps() -> Iterator[Steps]:
    """A callback that shows how far the current step is; it shows nothing in the first seconds."""
    if not _is_for_eyes():
        yield _CountLines().show
        return
    from rich.progress import MofNCompleteColumn

    with _counting_bar(BAR_AFTER_S, MofNCompleteColumn()) as show:
        yield show


@contextmanager
def bytes_progress(name: str) -> Iterator[Progress]:
    """A callback that shows how many bytes of a download have come."""
    if not _is_for_eyes():
        yield partial(_CountLines(0.0).show, f"bytes of {name}")
        return
    from rich.progress import DownloadColumn, TransferSpeedColumn

    with _counting_bar(0.0, DownloadColumn(), TransferSpeedColumn()) as show:
        yield partial(show, name)


def _is_for_eyes() -> bool:
    return sys.stderr.isatty() and not is_stderr_json()


@contextmanager
def _counting_bar(after_s: float, *figures: "ProgressColumn") -> Iterator[Steps]:
    """A callback that shows a bar from `after_s` seconds on."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), *figures, TimeRemainingColumn())
    bar = Bar(*columns, console=Console(file=sys.stderr))
    task, start_s = bar.add_task("", total=None), time.monotonic() + after_s

    def show(what: str, done: int, whole: int) -> None:
        bar.update(task, description=what, completed=done, total=whole or None)
        if time.monotonic() >= start_s:
            bar.start()

    try:
        yield show
    finally:
        if bar.live.is_started:
            bar.stop()


@contextmanager
def drawn_anew() -> Iterator[Callable[[str], None]]:
    """A callback that shows a text on the terminal in place of the last one, until the end of the block."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    with Live(console=Console(file=sys.stdout), auto_refresh=False, transient=True) as live:
        yield lambda text: live.update(Text(printable(text)), refresh=True)


class _Speed:
    """Images per second since the first report, when Ray has started and the models begin to load."""

    def __init__(self) -> None:
        self.start_s: float | None = None

    def text(self, ended: int) -> str:
        now_s = time.monotonic()
        self.start_s = now_s if self.start_s is None else self.start_s
        return f"{ended / max(now_s - self.start_s, 1e-3):.2f} images/s" if ended else ""


class _Lines:
    """One line of text at the start, then every few seconds, or every minute without news, and at the end."""

    def __init__(self) -> None:
        self.speed = _Speed()
        self.last: RunProgress | None = None
        self.last_s = -LINE_EVERY_S

    def show(self, now: "RunProgress") -> None:
        ended = now.labelled + now.failed
        is_new = now != self.last
        is_due = time.monotonic() - self.last_s >= (LINE_EVERY_S if is_new else SAME_LINE_EVERY_S)
        if not is_due and not (is_new and ended == now.total):
            return
        self.last, self.last_s = now, time.monotonic()
        counts = {"labelled": now.labelled, "failed": now.failed, "total": now.total}
        line = f"{ended} of {now.total} images, {now.failed} failed {self.speed.text(ended)}".rstrip()
        print(for_stderr(line, "sam_label.progress", **counts), file=sys.stderr)


class _CountLines:
    """One line of text after `after_s` seconds, then every few seconds while there is something new.

    One more at the end if there was one before.
    """

    def __init__(self, after_s: float = LINE_EVERY_S) -> None:
        self.last = ""
        self.next_s = time.monotonic() + after_s

    def show(self, what: str, done: int, whole: int) -> None:
        if time.monotonic() < self.next_s and not (self.last and done == whole):
            return
        if (line := _count(what, done, whole)) != self.last:
            self.last, self.next_s = line, time.monotonic() + LINE_EVERY_S
            print(for_stderr(line, "sam_label.counted"), file=sys.stderr)


def _count(what: str, done: int, whole: int) -> str:
    of_all = f" of {whole:,}" if whole else ""
    return f"{done:,}{of_all} {what}"
