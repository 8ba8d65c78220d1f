"""Runs each test of a file with both ways to decode run lengths, the C library and numpy."""

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from sam_core.masks.rle_library import library


def by_library_and_by_numpy(module: ModuleType) -> Any:
    """A fixture that runs every test of its file twice: with the library in `module` and without it."""

    @pytest.fixture(params=["library", "numpy"], autouse=True)
    def way(request: pytest.FixtureRequest) -> Iterator[None]:
        if request.param == "library":
            assert library() is not None, "the library was not built: install again"
            yield
            return
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "library", lambda: None)
            yield

    return way
