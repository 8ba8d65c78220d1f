"""`sam-label run --allow-empty`: a night without photos is done, and what is wrong stays an error."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from jobs.cli import main
from pipeline.config import RunConfig
from pipeline.inputs.source import Source
from pipeline.output.format.identity import Identity
from pipeline.store.storage import Store
from pipeline.weights.models import weights_of


def ended(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as end:
        main(["run", *words])
    written = capsys.readouterr()
    return end.value.code, written.out, written.err


@pytest.fixture(params=["an empty folder", "no folder", "no match", "no folder of a pattern"])
def without_photos(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").touch()
    names = {"an empty folder": "empty", "no folder": "none", "no match": "empty/*.jpg"}
    return str(tmp_path / names.get(request.param, "none/*.jpg"))


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
    assert ended(capsys, *words, "--dry-run")[0] == 0
    assert not output.exists(), "no dataset was begun"
    assert ended(capsys, *words[:2])[0] == 2, "by itself it is a mistake"


def test_images_that_a_dataset_waits_for_are_missed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, rehearsal: Callable[..., object]
) -> None:
    photos, output = tmp_path / "photos", tmp_path / "masks"
    photos.mkdir()
    names = [f"{number:04d}.png" for number in range(4)]
    for name in names:
        Image.new("RGB", (8, 8)).save(photos / name)
    config = RunConfig(input=str(photos), output=str(output))
    begun, weights = rehearsal(names), weights_of(config)
    begun.source = str(Source.of(config).location)
    begun.identity = Identity.of(weights.model_type, weights.sha256, config.mask, config.reading)
    begun.run(Store.at(str(output)), shards=1)
    for name in names:
        (photos / name).unlink()
    photos.rmdir()
    for more in ((), ("--dry-run",)):
        code, _, said = ended(capsys, str(photos), str(output), "--allow-empty", *more)
        assert (code, "there is no file or folder" in said) == (2, True)
