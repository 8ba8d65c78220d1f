"""The page's names for its datasets, and their names in its commands, for any path that was typed."""

import json
import re
from pathlib import Path

import pytest

from pipeline.report.names import names_of
from pipeline.report.report import Preview, written_report
from pipeline.report.sliders import folder_of
from pipeline.store.storage import Store


class Placed:
    """Has only what a name needs of a dataset."""

    def __init__(self, place: str) -> None:
        self.store = Store.at(place)


@pytest.mark.parametrize(
    ("places", "names"),
    [
        (["/labels/masks"], ["masks"]),
        (["s3://labels/2026/"], ["2026"]),
        (["s3://labels"], ["labels"]),
        (["/old/masks", "/new"], ["masks", "new"]),
        (["/labels/monday/masks", "s3://labels/tuesday/masks"], ["monday/masks", "tuesday/masks"]),
        (["/a/masks", "/a/masks"], ["masks", "masks"]),
        (["/masks", "/a/masks"], ["/masks", "a/masks"]),
    ],
)
def test_names_are_as_long_as_it_takes_to_tell_two_apart(places: list[str], names: list[str]) -> None:
    assert names_of([Placed(place) for place in places]) == names


def test_commands_work_from_another_folder() -> None:
    assert folder_of(Store.at("s3://labels/2026/")) == "s3://labels/2026"
    assert folder_of(Store.at("/my masks")) == "/my masks"


def test_a_dataset_may_be_named_by_a_dot(labelled, monkeypatch: pytest.MonkeyPatch) -> None:
    _, masks = labelled()
    monkeypatch.chdir(masks)
    written_report(Preview("."))
    page = Path("report.html").read_text()
    assert "<h1>masks</h1>" in page
    (said,) = re.findall(r'"folder":("[^"]*")', page)
    assert json.loads(said) == str(masks)
