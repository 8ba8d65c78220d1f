"""Datasets to read."""

from pathlib import Path
from shutil import copytree

import pytest

from pipeline.reading.dataset import Dataset
from pipeline.store.storage import Store

NAMES = [f"{number:02d} é%.jpg" for number in range(40)]


@pytest.fixture(scope="session")
def rehearsed(tmp_path_factory: pytest.TempPathFactory, rehearsal) -> Path:
    """The original of `small`; no test writes to it."""
    output = tmp_path_factory.mktemp("rehearsed")
    rehearsal(NAMES).run(Store.at(str(output)))
    return output


@pytest.fixture
def small(tmp_path: Path, rehearsed: Path) -> Dataset:
    """Forty images of 8 x 8 in shards of three; about eight of them have failed."""
    copytree(rehearsed, tmp_path / "small")
    return Dataset.open(str(tmp_path / "small"))
