"""What a run prints during its work and at its end."""

import sys

import pytest

from jobs.progress import bytes_progress, counted_progress, run_progress
from jobs.run_text import plan_text, summary_text
from jobs.status_text import status_text
from jobs.wording import counted, duration, size, tallied
from pipeline.output.commands.status import Status
from pipeline.output.lock import Holder
from pipeline.output.process_identity import ProcessIdentity
from pipeline.plan import RunPlan
from pipeline.rates.forecast import Forecast
from pipeline.run import RunProgress
from pipeline.summary import RunSummary


def test_off_a_terminal_progress_is_lines_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with run_progress() as (progress, _):
        for labelled in (0, 0, 1, 2):
            progress(RunProgress(labelled, 1, 3))
    shown = capsys.readouterr()
    assert shown.out == ""
    first, last = shown.err.splitlines()[0], shown.err.splitlines()[-1]
    assert first.startswith("1 of 3 images, 1 failed")
    assert last.startswith("3 of 3 images, 1 failed")


def test_off_a_terminal_a_download_is_lines_too(capsys: pytest.CaptureFixture[str]) -> None:
    with bytes_progress("vit_b") as progress:
        progress(0, 0)
        progress(10_000_000, 10_000_000)
    assert capsys.readouterr() == ("", "0 bytes of vit_b\n10,000,000 of 10,000,000 bytes of vit_b\n")


def test_a_line_without_news_comes_every_minute(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 0.0
    monkeypatch.setattr("jobs.progress.time.monotonic", lambda: now_s)
    with run_progress() as (progress, _):
        for _ in range(1200):
            progress(RunProgress(0, 0, 3))
            now_s += 0.25
        progress(RunProgress(1, 0, 3))
    assert [line[:13] for line in capsys.readouterr().err.splitlines()] == ["0 of 3 images"] * 5 + [
        "1 of 3 images"
    ]


def test_work_that_is_counted_shows_a_line_every_ten_seconds_and_short_work_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 0.0
    monkeypatch.setattr("jobs.progress.time.monotonic", lambda: now_s)
    with counted_progress("images") as progress:
        for done in range(10):
            progress(done + 1, 10)
            now_s += 0.9
    assert capsys.readouterr() == ("", "")
    with counted_progress("images") as progress:
        for done in range(2500):
            progress(done + 1, 2500)
            now_s += 0.009
    assert capsys.readouterr() == (
        "",
        "1,113 of 2,500 images\n2,225 of 2,500 images\n2,500 of 2,500 images\n",
    )


def test_a_run_shows_its_listing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    monkeypatch.setattr("jobs.progress.time.monotonic", lambda: now_s)
    with run_progress() as (progress, on_step):
        for listed in range(1000, 24_000, 1000):
            on_step("images listed", listed, 0)
            now_s += 1.0
        progress(RunProgress(0, 0, 23_500))
    assert capsys.readouterr().err.splitlines() == [
        "11,000 images listed",
        "21,000 images listed",
        "0 of 23500 images, 0 failed",
    ]
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with run_progress() as (progress, on_step):
        on_step("images compared", 7000, 0)
    assert "7,000 images compared" in capsys.readouterr().err


def test_on_a_terminal_a_bar_comes_after_two_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 0.0
    monkeypatch.setattr("jobs.progress.time.monotonic", lambda: now_s)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    for shown, whole in (("", 9), ("2/9", 9), ("2/?", 0)):
        with counted_progress("images") as progress:
            progress(1, whole)
            now_s += 3.0 * bool(shown)
            progress(2, whole)
        err = capsys.readouterr().err
        assert (shown in err) if shown else not err


def test_on_a_terminal_progress_is_a_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    with run_progress() as (progress, _):
        progress(RunProgress(2, 1, 3))
    with bytes_progress("vit_b") as progress_of_bytes:
        progress_of_bytes(5_000_000, 10_000_000)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "3/3" in shown.err
    assert "1 failed" in shown.err
    assert "5.0/10.0 MB" in shown.err
    assert "\x1b[3" not in shown.err, "no colours"


def test_the_summary_says_what_was_done_and_what_comes_next() -> None:
    summary = RunSummary(
        1200,
        2,
        3,
        1205,
        34_567,
        {"EMPTY": 1, "TRUNCATED": 1},
        elapsed_s=601.0,
        skipped_files=4,
        skipped_links=1,
    )
    assert summary_text(summary, "out").splitlines() == [
        "1,200 images labelled, 34,567 masks, in 10:01 (2.00 images/s)",
        "3 images done before",
        "2 images failed: 1 EMPTY, 1 TRUNCATED",
        "4 other files left out: no images by name or content",
        "1 link that leads out of the input was left out (--follow-links follows them)",
        "dataset: out",
        "next: sam-label status out",
    ]


@pytest.mark.parametrize(("narrow", "warns"), [(6, True), (5, False), (0, False)])
def test_a_run_over_12_bit_data_in_16_bits_says_so(narrow: int, warns: bool) -> None:
    text = summary_text(RunSummary(20, 0, 0, 20, 9, deep=10, narrow=narrow), "out")
    assert (f"{narrow} of 10 images of more than 8 bits use a tenth" in text) is warns
    assert ("--scale auto" in text) is warns


def test_a_finished_dataset_has_nothing_to_do_and_a_limited_one_goes_on() -> None:
    assert summary_text(RunSummary(0, 0, 6, 6, 0), "out").splitlines() == [
        "nothing to do",
        "6 images done before",
        "dataset: out",
        "next: sam-label validate out",
    ]
    limited = RunSummary(1, 0, 0, 6, 9)
    assert summary_text(limited, "out").endswith("next: the same command for the rest")
    assert summary_text(limited, "out", overwrites=True).endswith("without --overwrite for the rest")
    assert summary_text(RunSummary(0, 0, 2, 6, 0), "out").startswith(
        "no image labelled\n2 images done before"
    )


def test_a_finished_dataset_whose_input_is_empty_by_now_says_both() -> None:
    summary = RunSummary(0, 0, 6, 6, 0, empty_input="s3://photos/today")
    assert summary_text(summary, "out").splitlines() == [
        "nothing to do: no image was found in s3://photos/today",
        "6 images done before",
        "dataset: out",
        "next: sam-label validate out",
    ]


def test_a_plan_counts_images_and_bytes() -> None:
    expected = Forecast(0.5, 28_672, "cpu", 2, 0.27, 4)
    assert plan_text(RunPlan(10, 4, 2_500_000, 1, 3), expected, "out").splitlines() == [
        "10 images, 4 to label (2.5 MB), 6 not in this run, 1 other file left out, "
        "3 links that lead out of the input were left out (--follow-links follows them)",
        "a guess for images of 0.3 megapixels (the median of 4): 30:00 and 29 kB of output by 2 labelers on "
        "the CPU, as a Xeon of 2023 does it",
        "the guess is from figures of other machines: sam-label bench measures this one",
        "nothing was written to out",
        "next: the same command without --dry-run",
    ]


def test_a_plan_of_a_finished_dataset_says_so_as_a_run_does() -> None:
    expected = Forecast(0.0, 0, "cpu", 2, None, 0)
    finished = summary_text(RunSummary(0, 0, 6, 6, 0, skipped_links=2), "out")
    assert plan_text(RunPlan(6, 0, 0, skipped_links=2), expected, "out") == finished


def test_status_counts_and_names_the_next_command() -> None:
    dataset = Status("out", 10, 7, {"EMPTY": 2}, 1, 70, 5_000, 1, "r00001", "", "done", None, None)
    assert status_text(dataset, "out").splitlines() == [
        "10 images: 7 labelled, 2 failed, 1 left",
        "70 masks in 1 shard, 5 kB",
        "failed: 2 EMPTY",
        "next: the same sam-label run goes on",
    ]


@pytest.mark.parametrize(
    ("is_dead", "left", "who", "command"),
    [
        (False, 1, "written by process 7 on there, for ", "wait for that run; if it was killed, the same"),
        (True, 1, "process 7 on there died while writing; ", "the same command goes on"),
        (True, 0, "process 7 on there died while writing; ", "sam-label gc out"),
    ],
)
def test_status_waits_for_no_dead_process(is_dead: bool, left: int, who: str, command: str) -> None:
    process = ProcessIdentity("there", 7, "", "")
    holder = Holder(1, process, "word", taken_at="2026-01-01T00:00:00.000+00:00")
    dataset = Status("out", 10, 10 - left, {}, left, 70, 5_000, 1, "r1", "", None, 2.0, holder, is_dead)
    lines = status_text(dataset, "out").splitlines()
    assert lines[2].startswith(who)
    assert lines[-1].startswith(f"next: {command}")


@pytest.mark.parametrize(
    ("failed", "command"),
    [
        ({}, "sam-label validate out"),
        ({"EMPTY": 2}, "sam-label validate out"),
        ({"EMPTY": 2, "FORBIDDEN": 1}, "sam-label retry out"),
        ({"SOURCE_CHANGED": 2}, "the same sam-label run with --refresh"),
    ],
)
def test_the_next_command_is_one_that_may_help(failed: dict[str, int], command: str) -> None:
    dataset = Status("out", 10, 8, failed, 0, 70, 5_000, 1, "r00001", "", "done", None, None)
    assert status_text(dataset, "out").endswith(f"next: {command}")


def test_numbers_as_people_read_them() -> None:
    assert (counted(1, "image"), counted(12_580, "mask")) == ("1 image", "12,580 masks")
    assert [size(n) for n in (0, 585_000, 2_564_550_879)] == ["0 kB", "585 kB", "2.6 GB"]
    assert [duration(s) for s in (0.4, 62, 3800)] == ["0:00", "1:02", "1:03:20"]
    assert tallied({"EMPTY": 1, "TRUNCATED": 3000}) == "3,000 TRUNCATED, 1 EMPTY"
