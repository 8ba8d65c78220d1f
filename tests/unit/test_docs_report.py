"""docs/report.md: its commands run."""

import re
import shlex
import webbrowser
from pathlib import Path

import pytest
from labelled_photos import labelled_photos

from jobs.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "report.md"


def test_every_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    for output in ("masks", "masks-before"):
        labelled_photos(str(tmp_path / "photos"), str(tmp_path / output))
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: bool(opened.append(url)) or True)
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^sam-label preview .*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(commands) == 4
    for command in commands:
        with pytest.raises(SystemExit) as ended:
            main(shlex.split(command)[1:])
        assert ended.value.code == 0, f"{command}: {capsys.readouterr().err}"
    assert opened == [(tmp_path / "masks" / "report.html").as_uri()]
    assert (tmp_path / "page.html").exists()
