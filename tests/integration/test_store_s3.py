"""The store's promises, on real servers of S3 and of the other clouds."""

import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pipeline.errors import Reason, StoreError
from pipeline.store import azure_blobs, gcs, s3
from pipeline.store.objects import Entry, is_hidden
from pipeline.store.storage import Store

NAMES = [
    "a b%.jpg",
    "a/b#c.jpg",
    "a/b?versionId=1&x=2",
    "é/ü.png",
    "e\u0301.png",
    "x+y=z.jpg",
    "[x]*.jpg",
    "co::lon.jpg",
    "100%25.jpg",
]


def test_any_name_is_listed_and_read_as_it_is(any_store: str) -> None:
    store = Store.at(f"{any_store}/photos of mine")
    for name in NAMES:
        assert store.create(name, name.encode())
    listed = {entry.name: entry for page in store.list() for entry in page}
    assert set(listed) == set(NAMES)
    for name in NAMES:
        whole, key = Store.of_uri(store.uri(name))
        got = whole.get(key)
        assert got.data == name.encode()
        assert got.etag == listed[name].etag
        assert store.info(name) == listed[name]


def test_a_name_may_hold_a_newline(seaweedfs: str, use_store: Callable[[str], str]) -> None:
    store = Store.at(use_store(seaweedfs))  # moto's own routing knows no such URL
    assert store.create("new\nline.jpg", b"x")
    assert [entry.name for page in store.list() for entry in page] == ["new\nline.jpg"]
    assert store.read("new\nline.jpg") == b"x"


def test_only_the_folder_itself_is_listed(any_store: str) -> None:
    Store.at(any_store).publish("in/a.jpg", b"a")
    Store.at(any_store).publish("in-another/b.jpg", b"b")
    assert [entry.name for page in Store.at(f"{any_store}/in").list() for entry in page] == ["a.jpg"]
    assert list(Store.at(f"{any_store}/none").list()) == []


def test_hidden_objects_are_listed_where_they_are_asked_for(any_store: str) -> None:
    store = Store.at(f"{any_store}/in")
    for name in (".a.jpg", ".cache/b.jpg", "c/.d/e.jpg", "f.g.jpg"):
        store.publish(name, b"x")
    assert [len(page) for page in store.list()] == [4]
    assert [entry.name for page in store.list(hidden=False) for entry in page] == ["f.g.jpg"]


def test_create_lets_one_of_many_through(any_store: str) -> None:
    store = Store.at(any_store)
    with ThreadPoolExecutor(8) as racers:
        won = list(racers.map(lambda racer: store.create("lock", f"racer {racer}".encode()), range(8)))
    assert won.count(True) == 1
    assert store.read("lock") == f"racer {won.index(True)}".encode()


def test_publish_replaces_and_delete_may_be_repeated(any_store: str) -> None:
    store = Store.at(any_store)
    store.publish("x", b"one")
    store.publish("x", b"two")
    assert store.read("x") == b"two"
    assert store.read_range("x", 1, 3) == b"wo"
    store.delete("x")
    store.delete("x")
    assert store.info("x") is None


def test_a_missing_object_and_a_missing_bucket_are_told_at_once(any_store: str) -> None:
    scheme = any_store.partition(":")[0]
    for store in (Store.at(any_store), Store.at(f"{scheme}://there-is-no-such-bucket-here")):
        with pytest.raises(StoreError) as caught:
            store.read("none")
        assert caught.value.reason is Reason.SOURCE_MISSING


def test_listing_goes_through_all_pages(any_store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (s3, gcs, azure_blobs):
        monkeypatch.setattr(kind, "PAGE", 10)
    store = Store.at(any_store)
    names = [f"k/{number:02d}" for number in range(25)]
    for name in names:
        store.publish(name, b"")
    pages = list(store.list("k"))
    assert [len(page) for page in pages] == [10, 10, 5]
    assert [entry.name for page in pages for entry in page] == names


def test_a_store_travels_without_its_connection(any_store: str) -> None:
    store = Store.at(any_store)
    store.publish("x", b"x")
    assert pickle.loads(pickle.dumps(store)).read("x") == b"x"  # noqa: S301


def test_an_object_in_chunks_appears_whole_or_not_at_all(any_store: str) -> None:
    store = Store.at(any_store)
    store.publish("x", b"old")

    def breaks_off() -> Iterator[bytes]:
        yield b"new"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.publish_chunks("x", breaks_off())
    assert store.read("x") == b"old"
    store.publish_chunks("x", iter([b"ne", b"", b"w"]))
    assert store.read("x") == b"new"


def test_a_range_beyond_the_end_says_that_the_object_has_changed(any_store: str) -> None:
    store = Store.at(any_store)
    store.publish("x", b"short")
    with pytest.raises(StoreError) as caught:
        store.read_range("x", 100, 200)
    assert caught.value.reason is Reason.SOURCE_CHANGED


def test_folders_side_by_side_give_what_one_stream_gives(
    any_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in (s3, gcs, azure_blobs):
        monkeypatch.setattr(kind, "PAGE", 4)
    store = Store.at(f"{any_store}/in a+b%")
    folders = ["a", "a-b", "a b%25", "a/deep/er", "é", ".hidden", "z?x=1&y", "\U0001f600"]
    names = [f"{folder}/{number}.jpg" for folder in folders for number in range(9)]
    names += ["a.jpg", "a-", "a/a.jpg", "zz"]
    with ThreadPoolExecutor(8) as writers:
        list(writers.map(lambda name: store.publish(name, name.encode()), names))
    expected = in_one_stream(store)
    assert len(expected) == len(names)
    pages = list(store.list())
    assert any(len(page) == 1 for page in pages[:-1]), "a page ends with its folder"
    is_in_order = expected == sorted(expected, key=name_in_bytes)  # SeaweedFS has "a/b" before "a b"
    for hidden in (True, False):
        listed = [entry for page in store.list(hidden=hidden) for entry in page]
        taken = [entry for entry in expected if hidden or not is_hidden(entry.name)]
        assert sorted(listed, key=name_in_bytes) == sorted(taken, key=name_in_bytes)
        assert listed == taken or not is_in_order


def in_one_stream(store: Store) -> list[Entry]:
    """The oracle: page after page."""
    objects: Any = store._objects
    page = objects._page("", None, by_folder=False)
    entries = list(page.entries)
    while page.token:
        page = objects._page("", page.token, by_folder=False)
        entries += page.entries
    return entries


def name_in_bytes(entry: Entry) -> bytes:
    return entry.name.encode()
