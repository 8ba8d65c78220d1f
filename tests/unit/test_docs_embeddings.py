"""docs/embeddings.md: its commands and snippets run."""

import re
import shlex
from pathlib import Path

import pytest
from snippets import run_snippets

from jobs.cli import main
from pipeline.output.format.identity import Identity
from pipeline.store.storage import Store
from sam_core.options import MaskOptions

PAGE = Path(__file__).parents[2] / "docs" / "embeddings.md"


def test_every_command_and_snippet_runs(tmp_path: Path, monkeypatch, rehearsal, capsys) -> None:
    photos = rehearsal([])
    photos.identity = Identity("vit_t", "0" * 64, MaskOptions(mask_embeddings=True))
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        for etag in map(str, range(100)):
            photos.etags[f"file://{tmp_path}/photos/{name}"] = etag
            if [row["num_masks"] for row in photos.rows()][-1] == 3:
                break
    for output in ("masks", "demo-output"):
        photos.run(Store.at(str(tmp_path / output)))
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^sam-label (similar masks .*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(commands) == 1
    for command in commands:
        with pytest.raises(SystemExit) as ended:
            main(shlex.split(command))
        assert ended.value.code == 0, capsys.readouterr().err
    assert "of 8 other masks" in capsys.readouterr().out
    assert run_snippets(PAGE) == 3
    printed = capsys.readouterr().out
    assert printed.count("(3, 256) (256,)") == 3
    assert "similarity" in printed
