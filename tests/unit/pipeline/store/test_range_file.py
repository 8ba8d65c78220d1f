"""A file view of a stored object: its bytes are the object's, and neighbouring ranges need one request."""

from pathlib import Path
from random import Random

import pytest

from pipeline.errors import Reason, StoreError
from pipeline.store.objects import Got
from pipeline.store.range_file import RangeFile
from pipeline.store.storage import Store

KB = 1 << 10


@pytest.fixture
def data() -> bytes:
    return Random(0).randbytes(400 * KB)


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The ranges in the order of their requests."""
    asked: list[tuple[int, int]] = []
    get_range = Store.get_range

    def seen(self: Store, name: str, start: int, end: int) -> Got:
        asked.append((start, end))
        return get_range(self, name, start, end)

    monkeypatch.setattr(Store, "get_range", seen)
    return asked


def test_near_ranges_are_one_request_and_found_when_read(tmp_path: Path, data: bytes, requests) -> None:
    store = Store.at(str(tmp_path))
    store.publish("a", data)
    file = RangeFile(store, "a", len(data))
    file.fetch([(200 * KB, 201 * KB), (1 * KB, 2 * KB), (3 * KB, 9 * KB), (390 * KB, 399 * KB)])
    assert sorted(requests) == [(1 * KB, 9 * KB), (200 * KB, 201 * KB)], "the tail comes when it is read"
    rng = Random(1)
    for start, end in [(1 * KB, 9 * KB), (200 * KB, 201 * KB)]:
        for _ in range(20):
            first = rng.randrange(start, end)
            size = rng.randint(0, end - first)
            file.seek(first)
            assert file.read(size) == data[first : first + size]
    assert len(requests) == 2


def test_what_was_not_fetched_is_read_all_the_same(tmp_path: Path, data: bytes, requests) -> None:
    store = Store.at(str(tmp_path))
    store.publish("a", data)
    file = RangeFile(store, "a", len(data))
    file.fetch([(0, 10)])
    for start, end in [(5, 20), (100 * KB, 101 * KB), (350 * KB, 400 * KB), (0, 10)]:
        file.seek(start)
        assert file.read(end - start) == data[start:end]
    assert len(requests) == 4


@pytest.mark.parametrize("is_fetched", [False, True])
def test_two_versions_of_a_file_are_not_mixed(tmp_path: Path, data: bytes, is_fetched: bool) -> None:
    store = Store.at(str(tmp_path))
    store.publish("a", data)
    entry = store.info("a")
    assert entry
    file = RangeFile(store, "a", entry.size, entry.etag)
    assert file.read(KB) == data[:KB]
    store.publish("a", data[::-1])
    with pytest.raises(StoreError, match="run again with --refresh") as refused:
        file.fetch([(KB, 2 * KB)]) if is_fetched else file.read(KB)
    assert refused.value.reason is Reason.SOURCE_CHANGED
