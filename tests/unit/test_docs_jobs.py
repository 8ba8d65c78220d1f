"""docs/jobs.md: its commands run on its own job file; every preset and every target has its row."""

import re
import shlex
from pathlib import Path

import pytest

from jobs.cli import main
from jobs.options.job_file import presets
from jobs.schedule_command import TARGETS

TEXT = (Path(__file__).parents[2] / "docs" / "jobs.md").read_text(encoding="utf-8")
COMMAND = re.compile(r"^(sam-label (?:config|schedule) [^#\n]*)", re.MULTILINE)


def test_every_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (toml,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    Path("nightly.toml").write_text(toml)
    commands = COMMAND.findall(TEXT)
    assert len(commands) == 10
    for command in commands:
        with pytest.raises(SystemExit) as ended:
            main(shlex.split(command)[1:])
        assert ended.value.code == 0, f"{command}: {capsys.readouterr().err}"


def test_every_preset_and_every_target_is_documented() -> None:
    assert [name for name in (*presets(), *TARGETS) if f"| `{name}` |" not in TEXT] == []
