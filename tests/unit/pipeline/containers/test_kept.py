"""Cached values: made once, however many threads ask, and made again after a failure."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.containers.kept import Kept


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty_threads")
def test_a_value_is_made_once_for_threads_that_ask_at_once() -> None:
    kept: Kept[int, int] = Kept(1000)
    made: list[int] = []

    def make(key: int) -> int:
        made.append(key)
        return -key

    keys = [number // 8 for number in range(800 * 8)]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda key: kept.get(key, lambda: make(key)), keys)) == [-key for key in keys]
    assert len(made) == 800


def test_a_failure_is_not_kept_and_the_oldest_go_first() -> None:
    kept: Kept[str, int] = Kept(5, weight=lambda value: value)
    with pytest.raises(ZeroDivisionError):
        kept.get("a", lambda: 1 // 0)
    assert [kept.get("a", lambda: 3), kept.get("b", lambda: 2), kept.get("a", lambda: 0)] == [3, 2, 3]
    assert [kept.get("c", lambda: 2), kept.get("a", lambda: 0), kept.get("b", lambda: 1)] == [2, 3, 1]
