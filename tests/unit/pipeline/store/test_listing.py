"""A long listing, with folders side by side, against a listing page by page."""

import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import stamina
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import Reason, SamLabelError
from pipeline.store import ahead
from pipeline.store.ahead import AT_A_TIME
from pipeline.store.faults import TRIES, PermanentFault
from pipeline.store.listing import FIRST_PAGES, MOST_TOUCHED, Page, listed_pages
from pipeline.store.objects import Entry

ENDED_S = 20  # the limit for a thread that need not wait to end


class Bucket:
    """Objects in memory, listed as S3 lists them; `before` is called with each request's prefix."""

    def __init__(self, names: list[str], page: int = 2) -> None:
        self.names = sorted(set(names), key=str.encode)
        self.page = page
        self.asked: list[tuple[str, bool]] = []
        self.before: Callable[[str, bool], object] = lambda below, by_folder: None

    def page_of(self, below: str, token: str | None, by_folder: bool) -> Page:
        self.asked.append((below, by_folder))
        self.before(below, by_folder)
        items: dict[str, None] = {}
        for name in self.names:
            if name.startswith(below):
                inner, slash, _ = name[len(below) :].partition("/")
                items[below + inner + slash if by_folder and slash else name] = None
        left = [item for item in items if token is None or item.encode() > token.encode()]
        some = left[: self.page]
        folders = [item for item in some if by_folder and "/" in item[len(below) :]]
        entries = [Entry(name, len(name) % 3, f"etag of {name}") for name in some if name not in folders]
        return Page(entries, some[-1] if len(left) > len(some) else None, folders)

    def listed(self, below: str = "", hidden: bool = True) -> list[Entry]:
        return [entry for page in self.pages(below, hidden) for entry in page]

    def pages(self, below: str = "", hidden: bool = True) -> Iterator[list[Entry]]:
        return listed_pages(self.page_of, "s3://bucket/", below, hidden)


def in_one_stream(bucket: Bucket, below: str = "", hidden: bool = True) -> list[Entry]:
    listed: list[Entry] = []
    token = None
    while True:
        page = bucket.page_of(below, token, by_folder=False)
        for entry in page.entries:
            is_marker = entry.size == 0 and entry.name.endswith("/")
            is_hidden = any(part.startswith(".") for part in entry.name.split("/"))
            if entry.name and not is_marker and (hidden or not is_hidden):
                listed.append(entry)
        token = page.token
        if not token:
            return listed


def folders_of(counts: dict[str, int]) -> list[str]:
    return [f"{folder}/{number:03d}.jpg" for folder, count in counts.items() for number in range(count)]


def listing_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "sam-label listing"]


@pytest.fixture(autouse=True)
def threads_end() -> Iterator[None]:
    """No thread outlives its listing, however that ended."""
    yield
    for thread in listing_threads():
        thread.join(ENDED_S)
    assert not listing_threads()


# short words in few folders, so that these are shared, and some names with slashes where none belong
PATHS = st.lists(st.sampled_from(["a", "a-", "b", ".c", "\ue000", "\U0001f600", ""]), min_size=1, max_size=4)
NAMES = st.builds(
    lambda parts, end: "/".join(parts) + end, PATHS, st.sampled_from(["1", "2", "/", "/3", "/4"])
)


@given(
    st.lists(NAMES, min_size=10, max_size=100, unique=True),
    st.sampled_from(["", "a/", "a", "b/a/"]),
    st.booleans(),
    st.integers(1, 4),
)
def test_any_tree_is_listed_as_in_one_stream(names: list[str], below: str, hidden: bool, page: int) -> None:
    bucket = Bucket(names, page)
    assert bucket.listed(below, hidden) == in_one_stream(bucket, below, hidden)


@pytest.mark.parametrize("kept_bytes", [1, ahead.KEPT_BYTES], ids=["on disk", "in memory"])
def test_folders_among_names_that_sort_around_them(kept_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "KEPT_BYTES", kept_bytes)
    names = folders_of({"a": 20, "a/b": 20, "a-b": 20, "photos": 20})
    bucket = Bucket([*names, "a.jpg", "a-", "photos", "photos/", "a/b.jpg", "b"], page=10)
    assert bucket.listed() == in_one_stream(bucket)
    assert ("photos/", False) in bucket.asked, "it was listed on its own"


def test_folders_are_listed_at_one_time() -> None:
    bucket = Bucket(folders_of({f"{number:02d}": 10 for number in range(AT_A_TIME)}), page=10)
    meet, met = threading.Barrier(AT_A_TIME), set()

    def wait_for_the_others(below: str, by_folder: bool) -> None:
        # the first folder is requested once before, to test whether listing by folder is allowed
        is_part = threading.current_thread() is not threading.main_thread() and below and not by_folder
        if is_part and below not in met:
            met.add(below)
            meet.wait(ENDED_S)

    bucket.before = wait_for_the_others
    assert [entry.name for entry in bucket.listed()] == bucket.names


def test_a_few_folders_are_opened_until_there_are_enough() -> None:
    names = folders_of({f"data/{split}/{kind}": 5 for split in ("train", "val") for kind in range(20)})
    bucket = Bucket(names, page=5)
    assert [entry.name for entry in bucket.listed()] == names_in_order(names)
    assert {below for below, by_folder in bucket.asked if by_folder} == {
        "",
        "data/",
        "data/train/",
        "data/val/",
    }


def names_in_order(names: list[str]) -> list[str]:
    return sorted(names, key=str.encode)


def test_a_short_listing_takes_the_requests_that_it_took() -> None:
    bucket = Bucket(folders_of({"a": 4, "b": 4}), page=2)
    assert len(bucket.listed()) == 8
    assert bucket.asked == [("", False)] * FIRST_PAGES


def test_a_folder_without_folders_takes_one_request_more() -> None:
    bucket = Bucket([f"{number:02d}" for number in range(20)], page=2)
    assert len(bucket.listed()) == 20
    assert sorted(bucket.asked) == [("", False)] * 10 + [("", True)]


def test_small_folders_are_not_listed_on_their_own() -> None:
    bucket = Bucket(folders_of({f"{number:03d}": 1 for number in range(100)}), page=5)
    assert FIRST_PAGES * bucket.page > MOST_TOUCHED
    assert len(bucket.listed()) == 100
    assert bucket.asked == [("", False)] * 20


@pytest.mark.parametrize("is_refused", [lambda below, by_folder: by_folder, lambda below, by_folder: below])
def test_a_user_who_may_list_nothing_else_still_may(is_refused: Callable[[str, bool], bool]) -> None:
    bucket = Bucket(folders_of({"a": 10, "b": 10, "c": 10}))

    def refuse(below: str, by_folder: bool) -> None:
        if is_refused(below, by_folder):
            raise PermanentFault(Reason.FORBIDDEN, "no")

    bucket.before = refuse
    assert [entry.name for entry in bucket.listed()] == bucket.names


def test_a_fault_of_one_folder_comes_in_its_turn() -> None:
    bucket = Bucket(folders_of({"a": 10, "b": 10, "c": 10, "d": 10}))

    def break_c(below: str, by_folder: bool) -> None:
        if below == "c/":
            raise PermanentFault(Reason.FORBIDDEN, "no c")

    bucket.before = break_c
    pages, given_before = bucket.pages(), []
    while len(given_before) < 20:
        given_before += [entry.name for entry in next(pages)]
    assert given_before == [name for name in bucket.names if name < "c/"]
    with pytest.raises(PermanentFault, match="no c"):
        next(pages)
    assert list(pages) == [], "once"


def test_each_request_is_tried_again() -> None:
    bucket = Bucket(folders_of({"a": 10, "b": 10, "c": 10}), page=4)
    failed = set()

    def fail_once(below: str, by_folder: bool) -> None:
        if (below, by_folder) not in failed:
            failed.add((below, by_folder))
            raise OSError("busy")

    bucket.before = fail_once
    with stamina.set_testing(True, attempts=TRIES):  # without the waits
        assert [entry.name for entry in bucket.listed()] == bucket.names
    assert ("c/", False) in failed


def test_a_full_disk_is_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "KEPT_BYTES", 1)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(SamLabelError, match=r"the listing cannot be kept in .*; set TMPDIR"):
        Bucket(folders_of({"a": 10, "b": 10, "c": 10})).listed()


def test_a_listing_that_is_abandoned_asks_for_no_more() -> None:
    bucket = Bucket(folders_of({f"{number:02d}": 100 for number in range(20)}))
    pages = bucket.pages()
    for _ in range(FIRST_PAGES + 1):
        next(pages)
    released = threading.Event()
    bucket.before = lambda below, by_folder: released.wait(ENDED_S)
    next(pages)
    del pages  # as a for loop that is left does
    asked = len(bucket.asked)
    released.set()
    for thread in listing_threads():
        thread.join(ENDED_S)
    assert len(bucket.asked) <= asked + AT_A_TIME, "each thread ended its request, and began no other"


def test_an_interruption_does_not_wait_for_the_store() -> None:
    bucket = Bucket(folders_of({"a": 10, "b": 10, "c": 10}))
    answers = threading.Event()

    def interrupt_and_hang(below: str, by_folder: bool) -> None:
        if below == "b/" and not by_folder:
            signal.raise_signal(signal.SIGINT)  # it may reach this thread, while the main one waits
            answers.wait(ENDED_S)

    bucket.before = interrupt_and_hang
    with pytest.raises(KeyboardInterrupt):
        bucket.listed()
    assert listing_threads(), "the store has not answered yet"
    answers.set()
