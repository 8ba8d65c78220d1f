"""Datasets to read."""

from pathlib import Path

import pytest
from demo_dataset import write_demo

from pipeline.reading.dataset import Dataset
from pipeline.store.storage import Store

NAMES = [f"{number:02d} é%.jpg" for number in range(40)]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The dataset of the six sample photos; nobody writes to it."""
    output = str(tmp_path_factory.mktemp("demo"))
    write_demo(output)
    return output


@pytest.fixture
def small(tmp_path: Path, rehearsal) -> Dataset:
    """Forty images of 8 x 8 in shards of three; about eight of them have failed."""
    rehearsal(NAMES).run(Store.at(str(tmp_path / "small")))
    return Dataset.open(str(tmp_path / "small"))
