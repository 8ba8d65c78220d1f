"""An image is found by id, path, URI or the end of a name; if none or several fit, one sentence says so."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UsageError
from pipeline.reading.dataset import Dataset
from pipeline.reading.named import record_named
from pipeline.store.storage import Store

NAMES = ["a.jpg", "sub/a.jpg", "sub/img_0007.jpg", "sub/ü %.png", "last/Rocket.webp", "b::c://d.jpg"]


@pytest.fixture
def dataset(tmp_path: Path, rehearsal: Callable) -> Dataset:
    rehearsal(NAMES).run(Store.at(str(tmp_path / "masks")))
    return Dataset.open(str(tmp_path / "masks"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("file:///photos/a.jpg", "a.jpg"),
        ("/photos/a.jpg", "a.jpg"),
        ("/photos/sub/../a.jpg", "a.jpg"),
        ("photos/a.jpg", "a.jpg"),
        ("sub/a.jpg", "sub/a.jpg"),
        ("img_0007.jpg", "sub/img_0007.jpg"),
        ("7.jpg", "sub/img_0007.jpg"),
        ("ü %.png", "sub/ü %.png"),
        ("b::c://d.jpg", "b::c://d.jpg"),
    ],
)
def test_a_name_that_one_image_has_finds_it(dataset: Dataset, name: str, expected: str) -> None:
    record = record_named(dataset, name)
    assert record.uri == f"file:///photos/{expected}"
    assert record_named(dataset, record.image_id).uri == record.uri


def test_a_path_is_that_of_the_working_directory(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "photos").symlink_to("/photos")
    monkeypatch.chdir("/")
    assert record_named(dataset, "photos/sub/a.jpg").uri == "file:///photos/sub/a.jpg"


def test_a_path_and_a_record_mean_their_image(dataset: Dataset) -> None:
    record = record_named(dataset, Path("/photos/sub/a.jpg"))
    assert record.uri == "file:///photos/sub/a.jpg"
    assert record_named(dataset, record).uri == record.uri


def test_a_path_that_is_not_utf_8_means_its_image(tmp_path: Path, rehearsal: Callable) -> None:
    photos = rehearsal([])
    photos.etags = {"file://localhost/photos/%FF.jpg": "1"}
    photos.run(Store.at(str(tmp_path / "masks")))
    dataset = Dataset.open(str(tmp_path / "masks"))
    for name in ("/photos/\udcff.jpg", Path("/photos/\udcff.jpg")):
        assert record_named(dataset, name).uri == "file://localhost/photos/%FF.jpg"


@pytest.mark.parametrize(
    "image", [None, 5, 1.5, b"a.jpg", ["a.jpg"], "\ud800.jpg", Path("\ud800.jpg")], ids=repr
)
def test_what_names_no_image_is_told(dataset: Dataset, image: Any) -> None:
    with pytest.raises(UsageError, match="named by its image_id, its uri, a path or a Record, not by "):
        record_named(dataset, image)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("a.jpg", "2 images of .* end in 'a.jpg': file:///photos/a.jpg, .*sub/a.jpg; give more of the uri"),
        (".jpg", r"4 images of .* end in '.jpg': .*, \.\.\.; give more"),
        ("rocket.webp", r"no image 'rocket.webp'; did you mean Rocket.webp\?"),
        ("rocket", r"no image 'rocket'; did you mean Rocket.webp\?"),
        ("img_007.jpg", r"no image 'img_007.jpg'; did you mean img_0007.jpg\?"),
        ("s3://b/\udcff.jpg", "is not UTF-8, as names in a bucket must be"),
        ("\udcff.jpg", "no image 'file://localhost/.*/%FF.jpg'"),
        ("0" * 32, "no image '0+'; name it by its image_id, its uri, or the end of its uri$"),
    ],
)
def test_a_name_of_none_or_several_is_told(dataset: Dataset, name: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        record_named(dataset, name)


def test_no_name_is_guessed_if_not_all_can_be_compared(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.reading.named._COMPARED", len(NAMES) - 1)
    with pytest.raises(UsageError, match=r"no image 'img_007.jpg'; name it by"):
        record_named(dataset, "img_007.jpg")


def test_an_image_that_is_not_labelled_yet_may_be_the_reason(tmp_path: Path, rehearsal: Callable) -> None:
    rehearsal([f"{number:02}.jpg" for number in range(9)]).run(Store.at(str(tmp_path)), shards=1)
    with pytest.raises(UsageError, match="or it is not labelled yet"):
        record_named(Dataset.open(str(tmp_path)), "completely different")
