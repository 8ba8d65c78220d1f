"""Turns at a web host, when other users of the machine can guess where they are kept."""

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from pipeline.store import host_turns
from pipeline.store.host_turns import hold, turn
from pipeline.store.settings import HttpsSettings

HOST = "example.org"


@pytest.fixture(autouse=True)
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder whose name others can guess; it does not exist yet."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path / f"sam-label-{os.getuid()}-hosts"
    host_turns._own.cache_clear()


def take_a_turn() -> None:
    with turn(HOST, HttpsSettings(delay_s=0.001)):
        pass


def test_the_processes_of_a_user_share_a_folder_of_theirs(shared: Path) -> None:
    take_a_turn()
    assert (shared / HOST / "next").exists()
    assert shared.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("text", ["x", "inf", "nan", "1e999", "\0" * 64])
def test_a_time_that_is_none_costs_no_wait(shared: Path, text: str) -> None:
    take_a_turn()
    (shared / HOST / "next").write_text(text)
    take_a_turn()


def test_a_folder_that_others_can_write_is_not_used(
    shared: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def writable() -> None:
        shared.mkdir()
        shared.chmod(0o777)

    def link() -> None:
        shared.symlink_to(tmp_path / "elsewhere")
        (tmp_path / "elsewhere").mkdir(exist_ok=True)

    for taken in (writable, link, shared.touch):
        taken()
        take_a_turn()
        hold(HOST, 0.0)
        assert not list(shared.glob("*"))
        shared.rmdir() if shared.is_dir() and not shared.is_symlink() else shared.unlink()
    assert caplog.text.count("is not this user's alone; remove it") == 1


def test_a_turn_ends_although_a_process_was_forked_meanwhile_and_lives_on() -> None:
    settings, fork = HttpsSettings(connections=1), get_context("fork")
    over = fork.Event()
    with turn(HOST, settings):
        forked = fork.Process(target=over.wait, args=(60,))
        forked.start()

    def next_turn() -> bool:
        with turn(HOST, settings):
            return forked.is_alive()

    with ThreadPoolExecutor(1) as thread:
        try:
            assert thread.submit(next_turn).result(30), "the forked process has ended"
        finally:
            over.set()
            forked.join()
