"""Fixtures of the unit tests."""

from collections.abc import Iterator

import pytest
import torch
from demo_dataset import write_demo


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The dataset of the six sample photos; nobody writes to it."""
    output = str(tmp_path_factory.mktemp("demo"))
    write_demo(output)
    return output


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """One torch thread: two would wait for each other longer than a small model computes."""
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(usual)
