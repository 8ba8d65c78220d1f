"""A cluster that is not there: the command reports it in time, reacts to signals, and leaves no lock."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from processes import title
from stand_in_generator import photo

COMMAND = [sys.executable, "-c", "from jobs.entry import main; main()"]
PATIENCE_S = 90


@pytest.fixture
def deaf() -> Iterator[str]:
    """The address of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def gone() -> Iterator[str]:
    """The address of a server that has ended."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{unused.getsockname()[1]}"


def started(folder: Path, address: str, *options: str) -> "subprocess.Popen[str]":
    (folder / "in").mkdir()
    (folder / "in" / "a.png").write_bytes(photo(0))
    return subprocess.Popen(
        [*COMMAND, "run", folder / "in", folder / "out", *options],
        env={**os.environ, "RAY_ADDRESS": address},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_stale_address_is_named(tmp_path: Path, gone: str) -> None:
    process = started(tmp_path, gone, "--cluster-wait-s", "1")
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    waiting, end = stderr.splitlines()
    assert waiting.startswith(f"sam-label: warning: waiting up to 1 s for the Ray cluster at {gone}")
    assert end.startswith(f"sam-label: the Ray cluster at {gone} did not answer within 1 s")
    assert not (tmp_path / "out").exists(), "no lock and nothing else"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait_for_a_cluster(tmp_path: Path, gone: str, number: signal.Signals) -> None:
    process = started(tmp_path, gone)
    assert process.stderr is not None
    assert "waiting up to 60 s" in process.stderr.readline()
    process.send_signal(number)
    _, stderr = process.communicate(timeout=10)
    assert (process.returncode, stderr.count("\n")) == (130, 1), stderr
    assert not (tmp_path / "out").exists()


def test_a_signal_ends_the_wait_for_a_ray_that_never_starts(tmp_path: Path, deaf: str) -> None:
    process = started(tmp_path, deaf)
    try:
        wait_for_lock(tmp_path / "out", process)
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=15)
    finally:
        process.kill()
    assert process.returncode == 130, stderr
    (lock,) = (tmp_path / "out" / "_lock").glob("*.json")
    assert '"released": true' in lock.read_text()


def test_a_signal_ends_the_start_of_a_ray_of_its_own_and_all_its_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TemporaryDirectory(prefix="ray-", dir="/tmp") as folder:  # short: the path of Ray's sockets
        monkeypatch.setenv("RAY_TMPDIR", folder)
        process = started(tmp_path, "")
        try:
            wait_for_lock(tmp_path / "out", process)
            wait_until(lambda: bool(processes_that_name(folder)))
            process.send_signal(signal.SIGTERM)
            _, stderr = process.communicate(timeout=30)
        finally:
            process.kill()
        assert process.returncode == 130, stderr
        wait_until(lambda: not processes_that_name(folder))


def processes_that_name(text: str) -> list[str]:
    """The ids of processes with the text in their command line."""
    ids = [path.name for path in Path("/proc").iterdir() if path.name.isdecimal()]
    return [one for one in ids if text in title(int(one))]


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def wait_for_lock(output: Path, process: "subprocess.Popen[str]") -> None:
    # The run's record comes after the lock, and shortly before Ray is joined.
    wait_until(lambda: process.poll() is not None or bool(list(output.glob("_runs/*.json"))))
    assert process.poll() is None, process.communicate()
