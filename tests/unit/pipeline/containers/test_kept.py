"""Cached values: made once, however many threads ask, and made again after a failure."""

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from forked import ends_well_when_forked

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


def test_a_forked_process_does_not_wait_for_a_thread_of_its_parent() -> None:
    kept: Kept[str, int] = Kept(5)
    begun, over = threading.Event(), threading.Event()

    def make() -> int:
        begun.set()
        over.wait(60)
        return 1

    assert kept.get("b", lambda: 2) == 2
    with ThreadPoolExecutor(1) as thread:
        made = thread.submit(kept.get, "a", make)
        begun.wait(60)
        assert ends_well_when_forked(lambda: kept.get("a", lambda: 3) == 3 and kept.get("b", lambda: 4) == 2)
        over.set()
        assert made.result() == 1
