"""A small dataset with its photos, and exports of it."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from labelled_photos import labelled_photos

from pipeline.export.export import Exported, exported
from pipeline.export.record import split_of
from pipeline.export_config import ExportConfig
from pipeline.output.dataset import Dataset


@dataclass(frozen=True)
class Labelled:
    """Photos and their dataset, and a folder for exports."""

    photos: Path
    output: Path
    folder: Path

    def export(self, dest: str, **options: Any) -> Exported:
        """Exports to a place in the folder."""
        config = ExportConfig(output=str(self.output), dest=str(self.folder / dest), **options)
        return exported(config)

    def rows(self, status: str = "ok") -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = Dataset.at(str(self.output)).table().to_pylist()
        return [row for row in rows if row["status"] == status]

    def seed_of_two_halves(self) -> int:
        """A seed with which each half of a split gets an image.

        The ids, and so the split by a seed, depend on the photos' folder.
        """
        halves = {"train": 0.5, "val": 0.5}
        ids = [row["image_id"] for row in self.rows()]
        return next(seed for seed in count() if len({split_of(each, halves, seed) for each in ids}) == 2)

    def files(self, dest: str) -> dict[str, bytes]:
        """The files of a place by name, without the export's own marks."""
        root = self.folder / dest
        found = {str(path.relative_to(root)): path for path in sorted(root.rglob("*")) if path.is_file()}
        return {name: path.read_bytes() for name, path in found.items() if not name.startswith(".sam-label")}


@pytest.fixture(scope="session")
def photos_and_masks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Photos and a dataset for tests that change neither."""
    folder = tmp_path_factory.mktemp("labelled")
    labelled_photos(str(folder / "photos"), str(folder / "masks"))
    return folder / "photos", folder / "masks"


@pytest.fixture
def labelled(tmp_path: Path, photos_and_masks: tuple[Path, Path]) -> Labelled:
    return Labelled(*photos_and_masks, tmp_path)


@pytest.fixture
def labelled_anew(tmp_path: Path) -> Callable[..., Labelled]:
    """A function that makes photos and a dataset, which the test may change; options: `labelled_photos`."""

    def of(**options: Any) -> Labelled:
        labelled = Labelled(tmp_path / "photos", tmp_path / "masks", tmp_path)
        labelled_photos(str(labelled.photos), str(labelled.output), **options)
        return labelled

    return of
