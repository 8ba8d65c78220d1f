"""An export killed between two changes to the disk: no file is incomplete, and a rerun finishes it."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from labelled_photos import labelled_photos

from pipeline.export import destination, form, images
from pipeline.export.export import exported
from pipeline.export_config import ExportConfig

T = TypeVar("T")
U = TypeVar("U")
EVERY = 3  # steps; each kill costs a second


def one_after_the_other(call: Callable[[T], U], items: Iterable[T]) -> list[U]:
    """Exports in the main thread, whose steps are counted."""
    return [call(item) for item in items]


def files(folder: Path) -> dict[str, bytes]:
    """The files' contents by name, without the export's own marks."""
    paths = (path for path in folder.rglob("*") if path.is_file() and ".sam-label-export" not in str(path))
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("coco.json", {"split": "0.5,0.5"}),
        ("coco", {"images": "copy"}),
        ("yolo", {"format": "yolo", "images": "link"}),
        ("png", {"format": "png"}),
        ("tars", {"format": "webdataset"}),
    ],
)
def test_an_export(
    tmp_path: Path, name: str, options: dict[str, Any], killed_before, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (destination, form, images):
        monkeypatch.setattr(module, "side_by_side", one_after_the_other)
    labelled_photos(str(tmp_path / "photos"), str(tmp_path / "masks"))

    def export(place: str) -> None:
        exported(ExportConfig(output=str(tmp_path / "masks"), dest=str(tmp_path / place / name), **options))

    steps = killed_before(lambda: export("whole"), None)
    whole = files(tmp_path / "whole")
    assert steps > 10
    for step in range(0, steps, EVERY):
        place = f"killed-{step}"
        assert killed_before(lambda place=place: export(place), step) is None
        for file, data in files(tmp_path / place).items():
            assert ".tmp-" in file or data == whole[file], f"{file}, killed before step {step}"
        export(place)
        assert files(tmp_path / place) == whole, f"killed before step {step}"
