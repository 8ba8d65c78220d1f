"""A run leaves its report and its log in the output, however it ends, and still releases its lock."""

import json
import logging
import math
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from pipeline.errors import OutputLocked, Reason, StoreError, TooManyFailures
from pipeline.kept_lines import KeptLines
from pipeline.metrics.report import RunReport
from pipeline.metrics.work import Stage, Work, WorkClock
from pipeline.output.commands.compact import compact
from pipeline.output.commands.gc import collect
from pipeline.output.commands.merge import merge
from pipeline.output.commands.retry import retry
from pipeline.output.commands.validate import validate
from pipeline.output.dataset import Dataset
from pipeline.output.kept_log import kept_log
from pipeline.output.lock import current_holder, held_lock
from pipeline.output.writer import Listing, open_output
from pipeline.program_log import logged_by
from pipeline.statistics.run_times import run_times
from pipeline.store.storage import Store

NAMES = [f"{number}.jpg" for number in range(12)]
WORK = Work({Stage.LABEL: 6}, {Stage.LABEL: 3.0}, busy_s=9.0, waiting_s=1.0)
_log = logging.getLogger("sam_label.test")


def run_for(photos: Any, store: Store, fault: BaseException | None = None, shards: int | None = None) -> str:
    """Labels some shards, logs a warning, and ends with the fault; returns the run's name."""
    report = RunReport(store.url)
    with (
        suppress(type(fault) if fault else AssertionError),
        logged_by(report.log),
        open_output(store, photos.identity, Listing(photos.source, photos.listing), report=report) as output,
    ):
        report.images, report.device, report.labelers, report.work = 12, "cpu", 2, WORK
        _log.warning("something is odd")
        photos.label(output, shards)
        if fault is not None:
            raise fault
    return report.run


@pytest.mark.parametrize(
    ("fault", "outcome", "exit_code", "sentence"),
    [
        (None, "finished", 0, None),
        (KeyboardInterrupt(), "interrupted", 130, "interrupted"),
        (TooManyFailures("3 images failed"), "failed", 3, "3 images failed"),
        (ValueError("pages\nof a bug"), "failed", 1, "ValueError: of a bug"),
    ],
)
def test_however_a_run_ends_its_record_says_so(
    tmp_path: Path,
    rehearsal: Callable[..., Any],
    fault: BaseException | None,
    outcome: str,
    exit_code: int,
    sentence: str | None,
) -> None:
    photos, store = rehearsal(NAMES), Store.at(str(tmp_path))
    run = run_for(photos, store, fault, shards=None if fault is None else 2)
    dataset = Dataset.at(str(tmp_path))
    ended = json.loads((tmp_path / "_runs" / f"{run}.json").read_text())["ended"]
    assert (ended["outcome"], ended["exit_code"], ended["sentence"]) == (outcome, exit_code, sentence)
    report = ended["report"]
    assert report["images"] == dataset.rows == (12 if fault is None else 6)
    assert (report["masks"], report["failed"]) == (dataset.masks, dataset.failed_by_reason)
    assert (report["labelled"], report["left"]) == (dataset.labelled, 12 - dataset.rows)
    assert (report["device"], report["labelers"], report["feed_idle"]) == ("cpu", 2, 0.1)
    assert report["stages"] == {"label": {"images": 6, "seconds": 3.0, "images_per_s": 2.0}}
    assert report["images_per_s"] > 0
    [line] = (tmp_path / "_runs" / f"{run}.log.jsonl").read_text().splitlines()
    assert (json.loads(line)["message"], json.loads(line)["run"]) == ("something is odd", run)
    assert current_holder(store) is None, "the lock is released"


def test_a_store_that_fails_at_the_end_costs_the_report_and_nothing_more(
    tmp_path: Path, rehearsal: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, store = rehearsal(NAMES), Store.at(str(tmp_path))
    publish = Store.publish

    def fail(self: Store, name: str, data: bytes) -> None:
        if name.startswith("_runs/"):
            raise StoreError(Reason.SOURCE_UNAVAILABLE, "the disk is full")
        publish(self, name, data)

    monkeypatch.setattr(Store, "publish", fail)
    run_for(photos, store, TooManyFailures("3 images failed"), shards=2)
    assert Dataset.at(str(tmp_path)).record.ended is None
    assert current_holder(store) is None


def test_an_overtaken_run_reports_nothing(tmp_path: Path, rehearsal: Callable[..., Any]) -> None:
    photos, store = rehearsal(NAMES), Store.at(str(tmp_path))
    report = RunReport(store.url, images=12)
    with (
        suppress(OutputLocked),
        open_output(store, photos.identity, Listing(photos.source, photos.listing), report=report) as output,
    ):
        holder = json.loads((tmp_path / "_lock" / "00001.json").read_text())
        store.create("_lock/00002.json", json.dumps({**holder, "generation": 2}).encode())
        photos.label(output, 1)
    assert Dataset.at(str(tmp_path)).record.ended is None


def test_every_command_leaves_the_log_where_it_is(tmp_path: Path, rehearsal: Callable[..., Any]) -> None:
    photos, first = rehearsal(NAMES), Store.at(str(tmp_path / "first"))
    run = run_for(photos, first)
    other = rehearsal(["other.jpg"])
    other.source = "file:///other"
    run_for(other, Store.at(str(tmp_path / "second")))
    retry(str(tmp_path / "first"))
    run_for(photos, first)
    compact(str(tmp_path / "first"))
    assert collect(str(tmp_path / "first")).files == 0
    assert validate(str(tmp_path / "first")).problems == []
    merge([str(tmp_path / "first"), str(tmp_path / "second")], str(tmp_path / "both"))
    assert validate(str(tmp_path / "both")).problems == []
    assert (tmp_path / "first" / "_runs" / f"{run}.log.jsonl").is_file()


def test_the_log_is_put_while_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, lines, is_put = Store.at(str(tmp_path)), KeptLines(), Event()
    publish = Store.publish

    def noted(self: Store, name: str, data: bytes) -> None:
        publish(self, name, data)
        is_put.set()

    monkeypatch.setattr(Store, "publish", noted)
    monkeypatch.setattr("pipeline.output.kept_log.KEEP_S", 0.01)
    with logged_by(lines), kept_log(store, "r00007", lines):
        _log.warning("said early")
        assert is_put.wait(30)
    assert "said early" in (tmp_path / "_runs" / "r00007.log.jsonl").read_text()


def test_a_run_that_says_nothing_leaves_no_log(tmp_path: Path, rehearsal: Callable[..., Any]) -> None:
    store = Store.at(str(tmp_path))
    rehearsal(NAMES).run(store)
    assert [file.name for file in (tmp_path / "_runs").iterdir()] == ["r00001.json"]
    with held_lock(store):
        assert Dataset.at(str(tmp_path)).record.ended["report"] is None


def test_times_of_stages_are_those_of_the_reports(tmp_path: Path, rehearsal: Callable[..., Any]) -> None:
    photos, store = rehearsal(NAMES), Store.at(str(tmp_path))
    photos.run(store, shards=1)
    assert run_times(Dataset.in_store(store)).stages == {}
    run_for(photos, store, KeyboardInterrupt(), shards=1)
    run_for(photos, store)
    times = run_times(Dataset.in_store(store))
    assert (times.stages, times.reports, times.runs) == ({"label": 6.0}, 2, 3)


def test_a_clock_tells_work_from_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    monkeypatch.setattr("pipeline.metrics.work.time.perf_counter", lambda: now_s)
    clock = WorkClock()
    now_s += 100  # the wait for the first image does not count
    clock.labels()
    with suppress(ValueError), clock.timed(Stage.LABEL, 4):
        now_s += 2
        raise ValueError
    with clock.waiting(lambda: -math.inf):
        now_s += 3
        earlier = clock.read()  # in another thread
    with clock.waiting(lambda: now_s - 2):  # it had work for a second of the three
        now_s += 3
    with clock.waiting(lambda: math.inf):
        now_s += 1
    now_s += 3
    assert earlier + clock.read() == Work({Stage.LABEL: 4}, {Stage.LABEL: 2.0}, busy_s=7.0, waiting_s=5.0)
    now_s += 1
    clock.waits()
    now_s += 10
    clock.labels()
    work = clock.read()
    assert work == Work(busy_s=1.0, waiting_s=10.0)
    assert work.feed_idle == 10 / 11
    assert clock.read() == Work()
    assert Work().feed_idle is None
    assert (work + work).waiting_s == 20
