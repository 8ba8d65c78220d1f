"""Datasets to report on."""

from collections.abc import Callable
from pathlib import Path

import pytest
from labelled_photos import labelled_photos


@pytest.fixture
def labelled(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """A function that makes photos and their dataset, which the test may change; see `labelled_photos`."""

    def of(**options: int) -> tuple[Path, Path]:
        photos, masks = tmp_path / "photos", tmp_path / "masks"
        labelled_photos(str(photos), str(masks), **options)
        return photos, masks

    return of
