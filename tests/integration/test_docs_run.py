"""The snippets of docs/reading.md do what the page says, the plain tools among them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from demo_dataset import write_demo
from snippets import __file__ as program
from snippets import snippets

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reading.md"
RAY = "ray.init"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the demo's output."""
    write_demo(str(tmp_path / "demo-output"))
    return tmp_path


@pytest.mark.parametrize(
    ("page", "words"),
    [(PAGE, ("", RAY)), (PAGE, (RAY,)), (ROOT / "README.md", ("Dataset.open",))],
    ids=["reading", "reading with Ray", "README"],
)
def test_every_snippet_runs(folder: Path, page: Path, words: tuple[str, ...]) -> None:
    offline = {"HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, program, str(page), *words],
        cwd=folder,
        env={**os.environ, **offline},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    holding, lacking = [*words, ""][:2]
    texts = [text for _, text in snippets(page.read_text(encoding="utf-8"))]
    expected = [text for text in texts if holding in text and (not lacking or lacking not in text)]
    assert expected
    assert done.stdout.strip().endswith(f"{len(expected)} snippets were run")


def test_every_tool_is_shown() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for tool in ("pyarrow", "pandas", "polars", "duckdb", "datasets", "supervision", r"ray\.data"):
        assert re.search(rf"^(import|from) {tool}|{tool}\.read_parquet", page, re.MULTILINE), tool
