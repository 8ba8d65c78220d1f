"""docs/export.md: its commands run, its Python snippets find what they promise."""

import re
import shlex
from pathlib import Path

import pytest
from labelled_photos import labelled_photos

from jobs.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "export.md"
COMMAND = re.compile(
    r"(?:^|`)(sam-label (?:export|compact|merge) (?:masks|monday|week)[^`\n]*)", re.MULTILINE
)


def test_every_command_and_snippet_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    text = PAGE.read_text(encoding="utf-8")
    for photos, output in (("photos", "masks"), ("1", "monday"), ("2", "tuesday")):
        labelled_photos(str(tmp_path / photos), str(tmp_path / output))
    monkeypatch.chdir(tmp_path)
    commands = list(dict.fromkeys(COMMAND.findall(text)))
    assert len(commands) == 9
    for command in commands:
        with pytest.raises(SystemExit) as ended:
            main(shlex.split(command)[1:])
        assert ended.value.code == 0, f"{command}: {capsys.readouterr().err}"
    snippets = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(snippets) == 4
    for snippet in snippets:
        names: dict[str, object] = {}
        exec(compile(snippet, str(PAGE), "exec"), names)  # noqa: S102  the page's own text
        shown = names.get("masks") or names.get("annotations") or names.get("table")
        assert names.get("first_mask_HW") is not None or shown is not None
