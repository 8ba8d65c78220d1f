"""Commits and run records as a stranger may send them: damaged files, and nothing of them in the README."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import DamagedFile
from pipeline.output.commands.gc import collect
from pipeline.output.commands.status import status
from pipeline.output.dataset import Dataset
from pipeline.store.storage import Store

MARKDOWN = "`<img src=x onerror=alert(2)>\n\n# Injected"


@pytest.fixture
def output(tmp_path: Path, rehearsal) -> Path:
    rehearsal([f"{number:02d}" for number in range(9)]).run(Store.at(str(tmp_path)))
    return tmp_path


def rewrite(file: Path, values: dict[str, Any]) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


@pytest.mark.parametrize(
    "values",
    [
        {"failed": {MARKDOWN: 1}},
        {"failed": {"BAD\x1b[31m": 1}},
        {"failed": {"CORRUPT\n": 1}},
        {"failed": {"CORRUPT": MARKDOWN}},
        {"failed": ["CORRUPT"]},
        {"name": "../../victim/r00001-000000"},
        {"rows": "3"},
        {"masks": -1},
        {"deep": 1.5},
        {"bytes": None},
        {"written_at": MARKDOWN},
        {"written_at": 7},
    ],
    ids=str,
)
def test_a_hostile_commit_is_damaged(output: Path, values: dict[str, Any]) -> None:
    commit = min((output / "_commits").iterdir())
    rewrite(commit, values)
    before = (output / "README.md").read_text()
    for command in (collect, status):
        with pytest.raises(DamagedFile, match=rf"{commit.name} is damaged \(it is not what this version"):
            command(str(output))
    assert (output / "README.md").read_text() == before


def test_a_reason_of_a_newer_release_is_shown(output: Path) -> None:
    commit = min((output / "_commits").iterdir())
    rewrite(commit, {"failed": {"TOO_NEW": 1}})
    assert status(str(output)).failed_by_reason["TOO_NEW"] == 1
    collect(str(output))
    assert "| `TOO_NEW` | 1 |" in (output / "README.md").read_text()


@pytest.mark.parametrize("run", ["r00002", MARKDOWN, None])
def test_a_record_of_another_run_is_damaged(output: Path, run: str | None) -> None:
    record = max((output / "_runs").glob("*.json"))
    rewrite(record, {"run": run})
    with pytest.raises(DamagedFile, match=rf"{record.name} is damaged \(it is of another run"):
        Dataset.at(str(output))


@pytest.mark.parametrize("folder", ["_commits", "_runs"])
def test_a_field_of_another_release_is_passed_over(output: Path, folder: str) -> None:
    for file in (output / folder).glob("*.json"):
        rewrite(file, {"of_another_release": 1})
    assert status(str(output)).images == 9
