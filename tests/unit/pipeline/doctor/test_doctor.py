"""`sam-label doctor` on this machine, and on places that a run could not use."""

import json
import os
import re
import resource
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from jobs.cli import main
from pipeline.cluster import thread_limit
from pipeline.doctor import machine
from pipeline.doctor.examination import MACHINE
from pipeline.doctor.finding import State

ROOT = Path(__file__).parents[4]
PHOTOS = ROOT / "jobs" / "demo" / "photos"


def findings(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, dict[str, str]]]:
    """Runs it; returns the exit code, and the findings by subject."""
    with pytest.raises(SystemExit) as end:
        main(["doctor", *map(str, arguments), "--json"])
    return int(end.value.code or 0), {one["what"]: one for one in json.loads(capsys.readouterr().out)}


def test_a_machine_that_runs_the_tests_has_no_fault(tmp_path: Path, capsys) -> None:
    output = tmp_path / "some" / "masks"
    code, seen = findings(capsys, PHOTOS, output)
    assert code == 0
    assert list(seen) == [*MACHINE, "input", "output"]
    assert "fault" not in {one["state"] for one in seen.values()}
    assert seen["C kernel"]["says"].startswith("kernel_")
    assert seen["input"]["says"] == f"{PHOTOS.as_uri()}/astronaut.jpg can be read"
    assert not (tmp_path / "some").exists(), "the probe and its folders are gone"


def test_an_output_that_is_there_stays_as_it_was(tmp_path: Path, rehearsal, capsys) -> None:
    from pipeline.store.storage import Store

    rehearsal(["a", "b"]).run(Store.at(str(tmp_path / "out")))
    before = sorted((tmp_path / "out").rglob("*"))
    assert findings(capsys, PHOTOS, tmp_path / "out")[0] == 0
    assert sorted((tmp_path / "out").rglob("*")) == before


def test_each_fault_says_what_to_do(tmp_path: Path, capsys) -> None:
    (tmp_path / "file").write_text("no folder")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        gone = f"127.0.0.1:{unused.getsockname()[1]}"
        code, seen = findings(capsys, tmp_path / "gone", tmp_path / "file" / "out", "--address", gone)
    assert code == 1
    faults = {what: one["says"] for what, one in seen.items() if one["state"] == State.FAULT}
    assert faults.keys() == {"input", "output", "cluster"}
    assert "there is no file or folder" in faults["input"]
    assert faults["output"].startswith("the output cannot be used: cannot write ")
    assert str(tmp_path / "file") in faults["output"]
    assert "start it, or correct --address" in faults["cluster"]


def test_a_profile_that_is_not_there_is_a_fault(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    code, seen = findings(capsys, "s3://bucket/photos", "--storage-profile", "nope")
    assert code == 1
    assert seen["S3 credentials"] == {
        "what": "S3 credentials",
        "state": "fault",
        "says": "The config profile (nope) could not be found",
        "fix": "name a profile of ~/.aws in AWS_PROFILE or storage.profile",
    }
    assert seen["input"]["state"] == State.FAULT


@pytest.mark.parametrize(
    ("package", "unchecked"),
    [
        ("pyarrow", {"Ray", "shared memory", "threads", "input and output"}),
        ("torch", {"torch", "C kernel", "GPUs"}),
        ("fsspec", set()),
    ],
)
def test_a_package_that_cannot_be_imported_is_one_fault_and_the_rest_is_checked(
    package: str, unchecked: set[str], tmp_path: Path
) -> None:
    (tmp_path / f"{package}.py").write_text("raise ImportError('libx.so: cannot open')")
    done = subprocess.run(
        [sys.executable, "-c", "from jobs.cli import main; main()", "doctor", PHOTOS, tmp_path, "--json"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (1, "sam-label: a run would fail for 1 fault: packages\n")
    seen = {one["what"]: one for one in json.loads(done.stdout)}
    assert re.fullmatch(
        rf"cannot be imported: .*{package}.* \(.*libx.so: cannot open\)", seen["packages"]["says"]
    )
    assert {what for what, one in seen.items() if one["says"].startswith("not checked: libx")} == unchecked


def test_every_required_package_is_tried() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = {re.match(r"[a-z0-9]+", package)[0] for package in project["dependencies"]}
    names = {"PIL": "pillow", "yaml": "pyyaml"}
    tried = [package.partition(".")[0] for package in machine.PACKAGES]
    assert {names.get(package, package) for package in tried} == required


def test_few_open_files_are_a_warning_with_the_command_that_allows_more() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    try:
        found = machine.open_files()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (found.state, found.says) == (State.WARNING, "at most 1024")
    assert found.fix.startswith("run `ulimit -n ")


def test_a_limit_of_threads_is_told(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(thread_limit, "CGROUP", tmp_path)
    (tmp_path / "pids.current").write_text("40\n")
    (tmp_path / "pids.max").write_text("100\n")
    found = machine.threads()
    assert (found.state, found.says[:24]) == (State.WARNING, "60 more may be started, ")
    (tmp_path / "pids.max").write_text("max\n")
    assert machine.threads().state is State.OK


def test_a_temporary_folder_too_long_for_sockets_is_a_fault(tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / ("long" * 20)
    folder.mkdir()
    monkeypatch.setenv("RAY_TMPDIR", str(folder))
    found = machine.disk()
    assert (found.state, found.fix) == (State.FAULT, "set RAY_TMPDIR to a folder with a shorter path")
