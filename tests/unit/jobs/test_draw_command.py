"""`sam-label draw` as a person uses it: which files it writes where, and what it refuses."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import ran
from demo_dataset import PHOTOS
from labelled_photos import labelled_photos
from PIL import Image

from pipeline.reading.dataset import Dataset
from pipeline.report.overlay import draw

Answer = tuple[int, str, str]


@pytest.fixture
def drawn(demo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> Callable[..., Answer]:
    """A function that runs it in an empty folder with arguments after OUTPUT: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str, output: str = demo) -> Answer:
        return ran(capsys, "draw", output, *arguments)

    return command


def test_the_picture_is_that_of_python_and_the_next_command_is_named(
    drawn: Callable[..., Answer], demo: str, tmp_path: Path
) -> None:
    code, out, err = drawn("coins.jpg")
    assert (code, out) == (0, f"35 masks drawn\npicture: {tmp_path}/coins-masks.png\n")
    assert err == f"next: sam-label preview {demo}\n"
    record = next(record for record in Dataset.open(demo) if "coins" in record.uri)
    assert np.array_equal(np.asarray(Image.open("coins-masks.png")), draw(record))


def test_json_has_the_same_facts(drawn: Callable[..., Answer], tmp_path: Path) -> None:
    code, out, err = drawn("coins.jpg", "--json", "--where", "area_share < 0.1")
    facts = {"picture": f"{tmp_path}/coins-masks.png", "masks": 34, "masks_of": 35}
    assert (code, json.loads(out), err) == (0, facts, "")


def test_options_choose_masks_and_how_they_look(drawn: Callable[..., Answer]) -> None:
    options = ["-o", "new/small.webp", "--where", "area_share < 0.1", "--size", "100", "--outline", "0"]
    code, out, _ = drawn("coins.jpg", *options)
    assert (code, out.splitlines()[0]) == (0, "34 of 35 masks drawn")
    assert Image.open("new/small.webp").size == (100, 79)
    assert drawn("coins.jpg", "-o", "new")[0] == drawn("coins.jpg", "-o", "other/")[0] == 0
    assert Image.open("new/coins-masks.png").size == Image.open("other/coins-masks.png").size
    code, _, _ = drawn("coins.jpg", "-o", "plain.png", "--alpha", "0", "--outline", "0")
    assert code == 0
    expected = np.asarray(Image.open(PHOTOS / "coins.jpg").convert("RGB"))
    assert np.array_equal(np.asarray(Image.open("plain.png")), expected)


def test_a_file_that_exists_is_replaced_only_if_asked(drawn: Callable[..., Answer], tmp_path: Path) -> None:
    (tmp_path / "mine.png").write_text("mine")
    code, out, err = drawn("coins.jpg", "-o", "mine.png")
    assert (code, out) == (2, "")
    assert err.endswith("mine.png exists; name another file, or replace it with --overwrite\n")
    assert (tmp_path / "mine.png").read_text() == "mine"
    assert drawn("coins.jpg", "-o", "mine.png", "--overwrite")[0] == 0
    assert Image.open("mine.png").format == "PNG"


def test_standard_output_takes_the_picture_but_a_terminal_does_not(
    drawn: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    body = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr("sys.stdout", body)
    assert drawn("coins.jpg", "-o", "-")[0] == 0
    assert Image.open(body.buffer).size == (384, 303)
    monkeypatch.setattr(body, "isatty", lambda: True, raising=False)
    code, _, err = drawn("coins.jpg", "-o", "-")
    assert (code, err) == (
        2,
        "sam-label: a picture cannot be shown in a terminal; name a file with -o, or redirect it: "
        "-o - > FILE\n",
    )


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["coin.jpg"], 2, "has no image 'coin.jpg'; did you mean coins.jpg?"),
        (
            ["coins.jpg", "-o", "a.pgn"],
            2,
            "it must end in .png, .jpg, .jpeg, .webp; did you mean .png?",
        ),
        (["coins.jpg", "-o", "coins"], 2, "coins is not the name of a picture"),
        (["coins.jpg", "-o", "s3://a.png"], 2, "s3://a.png is not the name of a picture"),
        (["coins.jpg", "-o", "https://bucket/a.png"], 2, "https://bucket/a.png can only be read"),
        (
            ["coins.jpg", "-o", str(PHOTOS / "x.png")],
            2,
            "are the same place, or one is inside the other; choose separate places",
        ),
        (["coins.jpg", "--where", "iou > 1"], 2, "--where is 'iou > 1': at 'iou > 1' expected a column"),
        (["coins.jpg", "--alpha", "2"], 2, "--alpha"),
        (["coins.jpg", "-o", "-", "--json"], 2, "would both write to standard output; name a file with -o"),
    ],
)
def test_a_mistake_is_one_sentence(
    drawn: Callable[..., Answer], arguments: list[str], code: int, sentence: str
) -> None:
    answer = drawn(*arguments)
    assert answer[:2] == (code, "")
    assert sentence in answer[2]
    assert answer[2].count("\n") == 1


def test_an_image_that_lies_on_its_side_failed_or_changed(
    drawn: Callable[..., Answer], tmp_path: Path
) -> None:
    photos, masks = tmp_path / "photos", str(tmp_path / "masks")
    labelled_photos(str(photos), masks)
    assert drawn("turned.jpg", output=masks)[0] == 0
    assert Image.open("turned-masks.png").size == (32, 48), "upright, as it was labelled"
    code, _, err = drawn("sub/broken.jpg", output=masks)
    assert (code, err) == (
        2,
        f"sam-label: file://{photos}/sub/broken.jpg has no masks: labelling it failed (NOT_AN_IMAGE)\n",
    )
    (photos / "z.webp").write_bytes((photos / "none.png").read_bytes())
    code, _, err = drawn("z.webp", output=masks)
    assert code == 1
    assert err.startswith(f"sam-label: the image file://{photos}/z.webp cannot be loaded: ")
    assert drawn("none.png", output=masks)[1].startswith("0 masks drawn\n")
    assert drawn("a.jpg", output=str(photos))[2].endswith("sam-label run INPUT OUTPUT makes one\n")
