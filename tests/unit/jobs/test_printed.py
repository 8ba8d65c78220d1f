"""Nothing that somebody else has written steers the terminal, or passes as a line of ours."""

import io
import json
import logging
import os
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import ran
from rich.console import Console

from jobs.printed import printable_streams
from jobs.progress import counted_progress, drawn_anew, run_progress
from jobs.verbosity import logged_to_stderr
from pipeline.output.dataset import Dataset
from pipeline.output.format.schema import SCHEMA
from pipeline.output.lock import current_holder
from pipeline.run import RunProgress
from pipeline.store.storage import Store

FORGED = "valid: 9 images with 9 masks, 0 failed"
HOSTILE = f"\x1b]0;OWNED\x07\x1b[31m\x9b2J\u202e\r\n{FORGED}\n"
NAMES = [f"{number:02d}{HOSTILE}.jpg" for number in range(9)]
STEERING = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


@pytest.fixture
def hostile(tmp_path: Path, rehearsal) -> Path:
    """A dataset whose names, messages and lock steer terminals and forge lines."""
    folder = tmp_path / "masks"
    store = Store.at(str(folder))
    rehearsal(NAMES).run(store)
    for shard in (folder / "data").iterdir():
        rows = pq.read_table(shard).to_pylist()
        for row in rows:
            counts = ["0"] * (row["num_masks"] or 0)
            row |= {"error_message": HOSTILE} if row["status"] == "failed" else {"mask_counts": counts}
        table = pa.Table.from_pylist(rows, SCHEMA).replace_schema_metadata(pq.read_schema(shard).metadata)
        pq.write_table(table, shard, compression="zstd", write_page_checksum=True)
        commit = folder / "_commits" / f"{shard.stem}.json"
        said = json.loads(commit.read_text()) | {"bytes": shard.stat().st_size}
        commit.write_text(json.dumps(said))
    lock = next((folder / "_lock").iterdir())
    holder = json.loads(lock.read_text()) | {"released": False}
    holder["process"] |= {"host": HOSTILE, "pid_space": "elsewhere"}
    lock.write_text(json.dumps(holder))
    return folder


def test_no_command_prints_what_steers_a_terminal(
    hostile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = tmp_path / "job.toml"
    job.write_text(f"{json.dumps(HOSTILE)} = 1\n")
    rows = Dataset.in_store(Store.at(str(hostile))).table().to_pylist()
    failed = next(row for row in rows if row["status"] == "failed")
    (tmp_path / "photos").mkdir()
    for name in NAMES:
        (tmp_path / "photos" / name).write_bytes(b"no image")
    for words in (
        ["status", hostile],
        ["status", hostile, "--json"],
        ["stats", hostile],
        ["stats", hostile, "--json"],
        ["validate", hostile],
        ["validate", hostile, "--json"],
        ["draw", hostile, failed["uri"]],
        ["draw", hostile, NAMES[0]],
        ["similar", hostile, "--image", NAMES[0]],
        ["preview", hostile, tmp_path / "page.html"],
        ["export", hostile, tmp_path / "coco", "--format", "coco"],
        ["config", "show", "--config", job],
        ["config", "show", "--config", HOSTILE],
        ["run", "--config", job],
        ["plan", tmp_path / "photos"],
        ["plan", tmp_path / "photos", "--names", "left-out"],
        ["retry", hostile, "--error", HOSTILE],
        ["status", HOSTILE],
        [HOSTILE],
    ):
        _, out, err = ran(capsys, *words)
        for line in (out + err).split("\n"):
            assert line != FORGED, words
            assert not STEERING.search(line.replace("\t", "")), (words, line)


def test_a_printed_job_file_says_what_was_given(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = ran(capsys, "config", "show", "--image-column", HOSTILE)
    assert not STEERING.search(out)
    assert tomllib.loads(out)["image_column"] == HOSTILE


def test_the_holder_of_a_lock_is_named_on_one_line(hostile: Path) -> None:
    holder = current_holder(Store.at(str(hostile)))
    assert holder is not None
    assert holder.process.host.startswith(r"\x1b]0;OWNED")
    assert len(holder.process.host.splitlines()) == 1


def test_rich_draws_its_help_as_ever(capsys: pytest.CaptureFixture[str]) -> None:
    with printable_streams():
        print("a\x1b[31m\tb\n")
        sys.stdout.buffer.write(b"\x1b")
        Console(force_terminal=True, color_system="standard").print("[red]c[/red]")
    written = capsys.readouterr().out
    assert "a\\x1b[31m\tb\n\n" in written
    assert "\x1b[31mc\x1b[0m" in written


def shown_by_a_run() -> None:
    with run_progress() as (progress, _):
        progress(RunProgress(1, 0, 3))
        with logged_to_stderr(logging.WARNING):
            logging.getLogger("jobs").warning("slow")


def shown_by_a_count() -> None:
    with counted_progress("images") as progress:
        progress(1, 3)


def shown_by_a_watch() -> None:
    with drawn_anew() as draw:
        draw("0 of 3")
        draw("1/3")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("show", [shown_by_a_run, shown_by_a_count, shown_by_a_watch])
def test_rich_draws_its_bars_as_ever(show: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.progress.BAR_AFTER_S", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    with printable_streams():
        show()
    assert "1/3" in terminal.getvalue()
    assert "\x1b[" in terminal.getvalue()  # moves the cursor
    assert "\\x1b" not in terminal.getvalue()


def test_a_library_may_reset_the_colours_after_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with printable_streams():
        kept = (sys.stdout, sys.stderr)
    for stream in kept:
        stream.write("\x1b[0m")
    assert capsys.readouterr() == ("\x1b[0m", "\x1b[0m")


def test_work_goes_on_if_nobody_reads_its_messages_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", buffering=1) as unread:
        monkeypatch.setattr(sys, "stderr", unread)
        with printable_streams():
            print("1 of 2 images", file=sys.stderr)
            print("2 of 2 images", file=sys.stderr, flush=True)
