"""What a watch shows of a run: each state in turn, from the output alone."""

import json
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jobs.cli import main
from jobs.watch_text import watch_line, watch_lines
from pipeline.errors import TooManyFailures, UsageError
from pipeline.output.commands import watch
from pipeline.output.commands.status import status
from pipeline.output.commands.watch import Look, State, watched
from pipeline.output.lock import EXPIRY_S, Holder, held_lock
from pipeline.output.process_identity import ProcessIdentity
from pipeline.output.writer import Listing, open_output
from pipeline.store.storage import Store

NAMES = [f"{number}.jpg" for number in range(12)]


def looks(folder: Path) -> Iterator[Look]:
    return watched(str(folder), wait=lambda seconds: None)


def test_a_watch_goes_through_a_run_and_ends_with_it(tmp_path: Path, rehearsal: Callable[..., Any]) -> None:
    photos, store = rehearsal(NAMES), Store.at(str(tmp_path))
    with held_lock(store):
        seen = looks(tmp_path)
        first = next(seen)
        assert (first.state, first.images, first.time_left_s) == (State.PREPARING, 0, None)
        seen.close()
    with open_output(store, photos.identity, Listing(photos.source, photos.listing)) as output:
        seen = looks(tmp_path)
        assert next(seen).state is State.RUNNING
        photos.label(output, shards=2)
        look = next(seen)
        assert (look.state, look.left, look.labelled + look.failed) == (State.RUNNING, 6, 6)
        assert look.time_left_s == pytest.approx(6 / (look.images_per_s or 0))
        assert re.search(r"last heartbeat \d s ago", watch_lines(look))
        assert next(seen).is_like(look)
        photos.label(output)
    [last] = seen
    assert (last.state, last.outcome, last.exit_code, last.left) == (State.ENDED, "finished", 0, 0)
    assert watch_line(last) == f"12 of 12 images, {last.failed} failed; run {last.run} has finished"


def test_it_says_why_a_run_has_failed(tmp_path: Path, rehearsal: Callable[..., Any]) -> None:
    photos, store = rehearsal(NAMES), Store.at(str(tmp_path))
    with (
        suppress(TooManyFailures),
        open_output(store, photos.identity, Listing(photos.source, photos.listing)) as output,
    ):
        photos.label(output, shards=1)
        raise TooManyFailures("3 images failed")
    [look] = looks(tmp_path)
    assert (look.outcome, look.exit_code) == ("failed", 3)
    assert watch_lines(look).endswith(f"run {look.run} failed (3 images failed)")


def test_a_lock_that_nobody_counts_up_belongs_to_a_dead_run(tmp_path: Path) -> None:
    store, now = Store.at(str(tmp_path)), SimpleNamespace(s=0.0)
    elsewhere = ProcessIdentity("other-host", 7, "another boot", "1")
    holder = Holder(1, elsewhere, "word", "2026-01-01T00:00:00.000+00:00")
    store.create("_lock/00001.json", holder.to_json())

    def wait(seconds: float) -> None:
        now.s += EXPIRY_S / 2

    seen = watched(str(tmp_path), wait, lambda: now.s)
    assert next(seen).beat_age_s == 0
    assert next(seen).beat_age_s == EXPIRY_S / 2
    store.publish("_lock/00001.json", replace(holder, beat=1).to_json())
    assert next(seen).beat_age_s == 0
    states = [look.state for look in seen]
    assert states == [State.PREPARING, State.DEAD]


@pytest.mark.parametrize(("year", "images_per_s"), [(2099, 3 / 3600), (2019, None)], ids=["now", "long ago"])
def test_a_status_and_a_watch_give_the_rate_of_the_last_minutes(
    tmp_path: Path, rehearsal: Callable[..., Any], year: int, images_per_s: float | None
) -> None:
    photos, store = rehearsal(NAMES), Store.at(str(tmp_path))
    with open_output(store, photos.identity, Listing(photos.source, photos.listing)) as output:
        photos.label(output, shards=2)
    for number, path in enumerate(sorted((tmp_path / "_commits").iterdir())):
        written_at = f"{year}-01-01T0{number}:00:00.000+00:00"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"written_at": written_at}))
    [look] = looks(tmp_path)
    assert look.images_per_s == status(str(tmp_path)).images_per_s == images_per_s


def test_where_there_is_nothing_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no dataset, and no run writes there"):
        next(looks(tmp_path))


def test_the_command_prints_a_line_a_change_and_ctrl_c_ends_it_quietly(
    tmp_path: Path,
    rehearsal: Callable[..., Any],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    photos, store = rehearsal(NAMES), Store.at(str(tmp_path))
    waits = iter(range(3))

    def sleep(seconds: float) -> None:
        if next(waits) == 2:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(watch, "time", SimpleNamespace(sleep=sleep, monotonic=lambda: 0.0))
    with open_output(store, photos.identity, Listing(photos.source, photos.listing)) as output:
        photos.label(output, shards=1)
        with pytest.raises(SystemExit) as interrupted:
            main(["status", str(tmp_path), "--watch", "--json"])
        photos.label(output)
    written = capsys.readouterr()
    assert (interrupted.value.code, written.err) == (130, "")
    [line] = written.out.splitlines()
    assert json.loads(line)["left"] == 9
    with pytest.raises(SystemExit) as ended:
        main(["status", str(tmp_path), "--watch"])
    written = capsys.readouterr()
    assert (ended.value.code, written.err) == (0, f"next: sam-label status {tmp_path}\n")
    assert written.out.count("\n") == 1
    assert "12 of 12 images" in written.out
