"""`sam-label run --allow-empty`: a night without photos is a success, and real mistakes stay errors."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import ran

from pipeline.config import RunConfig
from pipeline.output.format.identity import Identity
from pipeline.store.storage import Store
from pipeline.store.uri import location
from pipeline.weights.models import weights_of


def ended(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    return ran(capsys, "run", *words)


def dataset_of(rehearsal: Callable[..., Any], photos: str, output: Path, images: int, done: int) -> None:
    """A dataset of `photos` in which so many images are done; its input need not exist."""
    config = RunConfig(input=photos, output=str(output))
    begun, weights = rehearsal([f"{number:04d}.png" for number in range(images)]), weights_of(config)
    begun.source = str(location(photos))
    begun.identity = Identity.of(weights.model_type, weights.sha256, config.mask, config.reading)
    begun.shard_rows = 1
    begun.run(Store.at(str(output)), shards=done)


@pytest.fixture(
    params=["empty", "none", "empty/*.jpg", "none/*.jpg", "none.txt", "empty.txt", "lines.txt", "header.csv"]
)
def without_photos(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").touch()
    (tmp_path / "empty.txt").touch()
    (tmp_path / "lines.txt").write_text("\n" * 5000)
    (tmp_path / "header.csv").write_text("uri,n\n")
    return str(tmp_path / request.param)


def test_a_night_without_photos_is_done(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, without_photos: str
) -> None:
    output = tmp_path / "masks"
    words = (without_photos, str(output), "--allow-empty")
    sentence = f"nothing to do: no image was found in {without_photos}\n"
    assert ended(capsys, *words) == (0, sentence, "")
    code, printed, _ = ended(capsys, *words, "--json")
    summary = json.loads(printed)
    assert (code, summary["total"], summary["empty_input"]) == (0, 0, without_photos)
    assert ended(capsys, *words, "--dry-run") == (0, sentence, "")
    planned = json.loads(ended(capsys, *words, "--dry-run", "--json")[1])
    assert (planned["images"], planned["empty_input"]) == (0, without_photos)
    assert not output.exists(), "no dataset was begun"
    assert ended(capsys, *words[:2])[0] == 2, "by itself it is a mistake"


def test_a_list_with_wrong_lines_stays_a_mistake(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("# photos\n")
    code, _, said = ended(capsys, str(tmp_path / "list.txt"), str(tmp_path / "masks"), "--allow-empty")
    assert (code, "line 1 names no image" in said) == (2, True)


def test_empty_standard_input_is_done(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    sentence = "nothing to do: no image was found in -\n"
    assert ended(capsys, "-", str(tmp_path / "masks"), "--allow-empty") == (0, sentence, "")


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
@pytest.mark.parametrize(
    ("other", "options", "sentence"),
    [
        ("other", (), "holds masks of "),
        ("", ("--points-per-side", "4"), "was made with points_per_side 32"),
        ("", ("--exclude", "*.gif"), "was listed without --exclude"),
        ("", ("--overwrite",), "was not deleted; leave --overwrite out"),
        ("other", ("--overwrite",), "was not deleted; leave --overwrite out"),
    ],
)
def test_the_dataset_of_something_else_is_refused(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    rehearsal: Callable[..., Any],
    other: str,
    options: tuple[str, ...],
    sentence: str,
    dry: tuple[str, ...],
) -> None:
    photos, output = str(tmp_path / "photos"), tmp_path / "masks"
    dataset_of(rehearsal, photos, output, images=2, done=2)
    files = sorted(output.rglob("*"))
    code, out, err = ended(capsys, photos + other, str(output), "--allow-empty", *options, *dry)
    assert (code, out, sentence in err) == (2, "", True), err
    assert sorted(output.rglob("*")) == files


@pytest.mark.parametrize("pattern", ["", "/*.png", "/*/"])
def test_a_finished_dataset_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, rehearsal: Callable[..., Any], pattern: str
) -> None:
    photos, output = f"{tmp_path / 'photos'}{pattern}", tmp_path / "masks"
    dataset_of(rehearsal, f"{photos}**" if pattern == "/*/" else photos, output, images=2, done=2)
    text = f"nothing to do: no image was found in {photos}\n2 images done before\ndataset: {output}\n"
    words = (photos, str(output), "--allow-empty")
    assert ended(capsys, *words, "--dry-run") == (0, text, "")
    assert ended(capsys, *words) == (0, f"{text}next: sam-label validate {output}\n", "")
    assert ended(capsys, *words[:2])[0] == 2


def test_images_that_a_dataset_waits_for_are_missed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, rehearsal: Callable[..., Any]
) -> None:
    photos, output = str(tmp_path / "photos"), tmp_path / "masks"
    dataset_of(rehearsal, photos, output, images=4, done=1)
    for more in ((), ("--dry-run",)):
        code, _, said = ended(capsys, photos, str(output), "--allow-empty", *more)
        assert (code, "there is no file or folder" in said) == (2, True)
