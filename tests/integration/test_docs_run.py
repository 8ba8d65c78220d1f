"""Every command and snippet of the docs does what its page says; a block without a check is an error.

A block's language decides how it is checked (tests/stand_in/doc_blocks.py). Each page runs from top to bottom
in a folder with everything that its reader has by then: `photos` and their `masks`, the same `described` by
vectors and labelled with `loose` thresholds, `monday` and `tuesday`, and the `demo-output` of `make demo`;
the photos as a list, a tar and a table; weights, and a job file.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from demo_dataset import write_demo
from doc_blocks import LANGUAGES, blocks, commands, inline_commands
from doc_commands import check_command, check_mention, registered
from doc_snippets import RAY, run_snippet
from doc_snippets import __file__ as snippets_program
from labelled_photos import labelled_photos

from jobs.options.fields import config_fields, config_from
from jobs.options.job_file import job_values
from pipeline.config import RunConfig
from sam_core.options import MaskOptions

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
READING = ROOT / "docs" / "reading.md"
# The page's tools start threads and processes, so its snippets run in a separate process.
APART = [READING]
LOOSE = MaskOptions(pred_iou_thresh=0.5, stability_score_thresh=0.5, box_nms_thresh=1, crop_nms_thresh=1)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that a reader has, made once; no test writes to it."""
    folder = tmp_path_factory.mktemp("reader")
    for photos, output in (("photos", "masks"), ("1", "monday"), ("2", "tuesday")):
        labelled_photos(str(folder / photos), str(folder / output))
    labelled_photos(str(folder / "photos"), str(folder / "described"), has_vectors=True)
    write_demo(str(folder / "demo-output"))
    write_demo(str(folder / "loose"), options=LOOSE)
    write_inputs(folder)
    return folder


def write_inputs(folder: Path) -> None:
    """Writes inputs of other kinds, weights and a job file, with the names that the pages use."""
    photos = sorted((folder / "photos").rglob("a.*"))
    places = [str(photo) for photo in photos]
    (folder / "list.txt").write_text("\n".join(places))
    pq.write_table(pa.table({"uri": places, "photo_id": range(len(places))}), folder / "urls.parquet")
    pq.write_table(pa.table({"photo": [photo.read_bytes() for photo in photos]}), folder / "train.parquet")
    with tarfile.open(folder / "photos.tar", "w") as tar:
        tar.add(folder / "photos", "photos")
    (folder / "sam.safetensors").symlink_to(ROOT / "sam_core" / "weights" / "mobile_sam.safetensors")
    (folder / "job.toml").write_text('input = "s3://photos"\noutput = "s3://labels"\n')


@pytest.fixture
def folder(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `prepared`, as the working directory."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_of_a_page(page: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks(page):
        assert block.language in LANGUAGES, (
            f"{block}: say what the block is, one of {LANGUAGES}, after its first ```"
        )
        if block.language == "python" and page not in APART:
            run_snippet(block)
        if block.language in ("sh", "console"):
            for command in commands(block):
                check_command(command.line, command.shown, capsys)
        if block.language == "json":
            json.loads(block.text)
        if block.language == "yaml":
            yaml.safe_load(block.text)
        if block.language == "toml":
            name = block.text.splitlines()[0].removeprefix("# ")
            (folder / name).write_text(block.text, encoding="utf-8")
            check_job_file(name)
    for command in inline_commands(page):
        check_mention(command)


def check_job_file(name: str) -> None:
    """Raises: UsageError if an option is unknown or out of its range."""
    values = {"input": "photos", "output": "masks", **job_values(name, RunConfig)}
    known = {field.name for field in config_fields(RunConfig)}
    assert values.keys() <= known
    config_from(RunConfig, values, lambda field: field.name)


def test_the_snippets_of_the_page_for_readers(folder: Path) -> None:
    """Runs all snippets except the one that starts a Ray, which test_ray_data.py runs."""
    offline = {"HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, snippets_program, str(READING), "", RAY],
        cwd=folder,
        env={**os.environ, **offline},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    expected = sum(block.language == "python" and RAY not in block.text for block in blocks(READING))
    assert done.stdout.strip().endswith(f"{expected} snippets were run")


def test_every_tool_is_shown() -> None:
    page = READING.read_text(encoding="utf-8")
    for tool in ("pyarrow", "pandas", "polars", "duckdb", "datasets", "supervision", r"ray\.data"):
        assert re.search(rf"^(import|from) {tool}|{tool}\.read_parquet", page, re.MULTILINE), tool


def test_every_command_is_in_the_synopsis_and_every_page_is_named_in_the_readme() -> None:
    synopsis = blocks(ROOT / "docs" / "command-line.md")[0].text
    assert [name for name in registered() if f"sam-label {name} " not in synopsis] == []
    readme = (ROOT / "README.md").read_text(encoding="utf-8").partition("## More")[2]
    assert [page.name for page in PAGES[1:] if f"(docs/{page.name})" not in readme] == []
