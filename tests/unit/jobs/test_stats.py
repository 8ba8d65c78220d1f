"""`sam-label stats` on a terminal, in a log, and as JSON for a program."""

import io
import json
import re
import sys
from pathlib import Path

import pytest
from demo_dataset import write_demo
from doc_blocks import blocks
from labelled_photos import labelled_photos

from jobs.cli import main
from jobs.stats_text import Page, stats_text
from pipeline.output.lock import held_lock
from pipeline.statistics.neighbours import NearDuplicates
from pipeline.statistics.statistics import Statistics, statistics
from pipeline.store.storage import Store

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("stats") / "demo-output"
    write_demo(str(output))
    return output


@pytest.fixture(scope="module")
def figures(demo: Path) -> Statistics:
    return statistics(str(demo), 1000, 0)


def test_it_prints_counts_histograms_and_the_next_command(demo: Path, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["stats", str(demo)])
    out, err = capsys.readouterr()
    assert ended.value.code == 0
    assert out.startswith("6 images: 6 labelled, 0 failed, 0 left\n167 masks in 3 shards, ")
    assert f"next: sam-label preview {demo}" in err
    assert "\x1b" not in out + err


def test_while_a_run_writes_the_next_thing_is_to_wait(tmp_path: Path, capsys) -> None:
    output = str(tmp_path / "masks")
    labelled_photos(str(tmp_path / "photos"), output, shards=1)
    with held_lock(Store.at(output)), pytest.raises(SystemExit):
        main(["stats", output])
    assert "next: wait for that run; if it was killed, " in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["stats", output])
    assert "next: the same sam-label run goes on" in capsys.readouterr().err


def test_json_is_one_object_and_nothing_else(demo: Path, capsys) -> None:
    with pytest.raises(SystemExit):
        main(["stats", str(demo), "--json", "--sample", "2", "--seed", "3"])
    said = json.loads(capsys.readouterr().out)
    assert (said["masks"], said["pixels"]["sampled"], said["pixels"]["seed"]) == (167, 2, 3)


@pytest.mark.parametrize("width", [12, 20, 40, 200])
@pytest.mark.parametrize("has_blocks", [True, False])
def test_bars_fit_the_terminal(figures: Statistics, width: int, has_blocks: bool) -> None:
    text = stats_text(figures, Page(width, has_blocks))
    bars = [line for line in text.splitlines() if re.search("[█▏▎▍▌▋▊▉#]", line)]
    assert bool(bars) == (width > 12)
    assert all(len(line) <= width for line in bars)
    assert has_blocks or text.isascii()


def test_an_encoding_without_blocks_gets_plain_characters(
    demo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "latin-1", write_through=True))
    with pytest.raises(SystemExit) as ended:
        main(["stats", str(demo)])
    assert ended.value.code == 0
    assert b"####" in written.getvalue()
    assert b"\\u" not in written.getvalue()


def test_failures_samples_and_near_duplicates_are_said(tmp_path: Path) -> None:
    labelled_photos(str(tmp_path / "photos"), str(tmp_path / "masks"), shards=2)
    found = statistics(str(tmp_path / "masks"), 3, 5)
    near = NearDuplicates(images=4, sampled=6)
    text = stats_text(Statistics(**{**vars(found), "near": near}), Page(80))
    assert "8 images: 5 labelled, 1 failed, 2 left" in text
    assert "failed: 1 NOT_AN_IMAGE" in text
    assert "of a sample of 3 of 6 images, seed 5:" in text
    assert "near-duplicates: 4 of 6 looked at (cosine of 0.99 or more)" in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [(["nowhere"], "holds no dataset"), (["x", "--sample", "-1"], "--sample"), ([], "OUTPUT")],
)
def test_a_mistake_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, arguments: list[str], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["stats", *arguments])
    err = capsys.readouterr().err
    assert ended.value.code == 2
    assert sentence in err
    assert len(err.splitlines()) == 1


def test_the_page_shows_what_the_demo_gives(
    demo: Path, figures: Statistics, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    page = (DOCS / "statistics.md").read_text(encoding="utf-8")
    shown = re.search(r"```console\n\$ sam-label stats demo-output\n(.*?)```", page, re.DOTALL)
    assert shown
    head, *paragraphs = shown[1].strip().split("\n\n")
    text = stats_text(figures, Page(80))
    assert [one for one in paragraphs if one != "..." and one not in text] == []
    # shards and seconds are of one run
    assert [line.split(" in ")[0].split(": ")[0] for line in head.splitlines()] == [
        line.split(" in ")[0].split(": ")[0] for line in text.split("\n\n")[0].splitlines()
    ]
    monkeypatch.chdir(demo.parent)
    (snippet,) = (block for block in blocks(DOCS / "statistics.md") if block.language == "python")
    exec(snippet.text, {})  # noqa: S102  the page's own text
    assert capsys.readouterr().out.count("photos/") == 6
