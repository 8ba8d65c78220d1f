"""Which software a run record names; also records from before they named any."""

import json
import platform
import re
import subprocess
from pathlib import Path

import ray

from pipeline.output.commits import RunRecord
from pipeline.output.dataset import Dataset
from pipeline.output.made_with import _of_checkout
from pipeline.store.storage import Store
from sam_core import __version__


def test_a_record_names_versions_and_revision(tmp_path: Path, rehearsal) -> None:
    rehearsal(["a", "b"]).run(Store.at(str(tmp_path)))
    made_with = Dataset.at(str(tmp_path)).record.made_with
    assert made_with["sam_label"] == __version__
    assert (made_with["ray"], made_with["python"]) == (ray.__version__, platform.python_version())
    assert set(made_with) >= {"torch", "numpy", "pyarrow"}


def test_a_record_from_before_is_read(tmp_path: Path, rehearsal) -> None:
    rehearsal(["a"]).run(Store.at(str(tmp_path)))
    record = Dataset.at(str(tmp_path)).record
    older = json.loads(record.to_json())
    del older["made_with"]
    assert RunRecord.from_json(json.dumps(older).encode()).made_with == {}
    assert RunRecord.from_json(record.to_json()) == record


def test_the_revision_is_that_of_the_checkout_itself(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    assert _of_checkout(tmp_path) is None, "no checkout"
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e@example.org"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "--message", "first"], check=True)
    revision = _of_checkout(tmp_path)
    assert revision is not None
    assert re.fullmatch(r"[0-9a-f]{40}", revision)
    assert _of_checkout(tmp_path / "inside") is None, "a stranger's repository around us"
    (tmp_path / "file").touch()
    subprocess.run([*git, "add", "file"], check=True)
    assert _of_checkout(tmp_path) == f"{revision}-dirty"
