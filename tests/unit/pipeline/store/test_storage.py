"""A store on a disk: whole objects, any name, one creator."""

import errno
import os
import pickle
import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.errors import Reason, StoreError, UsageError
from pipeline.store.disk import PAGE, TEMPORARY, Disk
from pipeline.store.objects import NoPutIfAbsent
from pipeline.store.storage import Store

NAMES = [
    "a b%.jpg",
    "a.jpg",
    "a/b#c.jpg",
    "a/d/e?versionId=1",
    "[x]*.jpg",
    "e\u0301.png",
    "é.png",
    "new\nline.jpg",
]


def names(store: Store, prefix: str = "") -> list[str]:
    return [entry.name for page in store.list(prefix) for entry in page]


def test_any_name_is_listed_in_byte_order_and_read_as_it_is(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    for name in NAMES:
        assert store.create(name, name.encode())
    assert names(store) == sorted(NAMES)
    for page in store.list():
        for entry in page:
            whole, key = Store.of_uri(store.uri(entry.name))
            assert whole.get(key).data == entry.name.encode()
            assert whole.get(key).etag == entry.etag
            assert store.info(entry.name) == entry


def test_a_listing_comes_in_pages(tmp_path: Path) -> None:
    for number in range(PAGE + 1):
        (tmp_path / f"{number:05d}").touch()
    assert [len(page) for page in Store.at(str(tmp_path)).list()] == [PAGE, 1]


def test_links_to_files_are_listed_and_links_to_folders_are_not_entered(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").write_bytes(b"abc")
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "a")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "broken").symlink_to(tmp_path / "none")
    entries = {entry.name: entry.size for page in Store.at(str(tmp_path)).list() for entry in page}
    assert entries == {"folder/a": 3, "link": 3, "broken": 0}


def test_a_link_to_elsewhere_is_marked_or_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere" / "deep" / "a").write_bytes(b"abc")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file").symlink_to(tmp_path / "elsewhere" / "deep" / "a")
    (tmp_path / "in" / "folder").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "folder.d").touch()
    (tmp_path / "in" / "unreadable").symlink_to("x" * 300)  # for root too, by its length
    store = Store.at(str(tmp_path / "in"))
    (marked,) = store.list()
    assert [(entry.name, entry.leads_out) for entry in marked] == [
        ("file", True),
        ("folder", True),
        ("folder.d", False),
        ("unreadable", False),
    ]
    (followed,) = store.list(follow_links=True)
    assert [(entry.name, entry.size, entry.leads_out) for entry in followed] == [
        ("file", 3, False),
        ("folder.d", 0, False),
        ("folder/deep/a", 3, False),
        ("unreadable", 0, False),
    ]


def test_hidden_objects_are_listed_where_they_are_asked_for(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    for name in (".tmp-x", "a/.b/c", "a/d", "e.f"):
        store.publish(name, b"x")
    assert names(store) == [".tmp-x", "a/.b/c", "a/d", "e.f"]
    assert [entry.name for page in store.list(hidden=False) for entry in page] == ["a/d", "e.f"]


def test_create_lets_one_of_many_through(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    with ThreadPoolExecutor(8) as racers:
        won = list(racers.map(lambda racer: store.create("lock", b"%d" % racer), range(8)))
    assert won.count(True) == 1
    assert store.read("lock") == b"%d" % won.index(True)
    assert list(tmp_path.iterdir()) == [tmp_path / "lock"]


def test_publish_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    store.publish("x", b"one")
    store.publish("x", b"two")
    assert store.read("x") == b"two"
    assert list(tmp_path.iterdir()) == [tmp_path / "x"]
    assert not TEMPORARY.endswith(".parquet")


def test_faults_say_what_and_why_and_what_to_do(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    with pytest.raises(StoreError, match="No such file") as missing:
        store.read("none")
    assert missing.value.reason is Reason.SOURCE_MISSING
    assert pickle.loads(pickle.dumps(missing.value)).reason is Reason.SOURCE_MISSING  # noqa: S301


def test_a_disk_without_hard_links_is_refused_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(source: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")  # what FAT says

    monkeypatch.setattr(os, "link", no_links)
    with pytest.raises(UsageError, match="choose another disk"):
        Store.at(str(tmp_path)).create("x", b"x")


def test_a_disk_without_hard_links_is_known_on_macos_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(source: Path, target: Path) -> None:
        raise OSError(45, "Operation not supported")  # ENOTSUP there, and not EOPNOTSUPP

    monkeypatch.setattr(errno, "ENOTSUP", 45)
    monkeypatch.setattr(os, "link", no_links)
    with pytest.raises(NoPutIfAbsent):
        Disk(str(tmp_path)).create("x", b"x")


def test_a_file_system_that_syncs_no_folders_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def files_only(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", files_only)
    Disk(str(tmp_path)).publish("x", b"x")
    assert Disk(str(tmp_path)).get("x").data == b"x"


def test_a_folder_that_cannot_be_read_is_named_itself(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):  # deeper than a path may be long: unreadable for root too
        os.mkdir("d" * 250, dir_fd=folder)
        below = os.open("d" * 250, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)
    with pytest.raises(StoreError, match=r"/d{250}: File name too long"):
        names(Store.at(str(tmp_path)))


@pytest.mark.parametrize("name", ["../x", "a/../../x", "..", "/x"])
def test_a_name_that_leads_out_of_the_folder_is_not_written(tmp_path: Path, name: str) -> None:
    disk = Disk(str(tmp_path / "root"))
    for write in (disk.create, disk.publish, lambda name, data: disk.publish_chunks(name, [data])):
        with pytest.raises(ValueError, match="leads out of"):
            write(name, b"x")
    assert list(tmp_path.iterdir()) == []


def test_what_may_have_no_end_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(tmp_path)  # the path of a socket is short
        listener.bind("socket")
        (tmp_path / "zero").symlink_to("/dev/zero")
        for name in ("pipe", "socket", "zero"):
            for read in (Store.get, lambda store, name: store.get_range(name, 0, 10)):
                with pytest.raises(StoreError, match=rf"{name}: it is no regular file but a pipe") as caught:
                    read(Store.at(str(tmp_path)), name)
                assert caught.value.reason is Reason.NOT_AN_IMAGE
    assert names(Store.at(str(tmp_path))) == []


def test_a_file_that_states_no_size_is_empty() -> None:
    assert Store.at("/proc").read("self/environ") == b""
