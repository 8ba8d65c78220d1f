"""From manifest rows to bytes, or to the reason of failure, on a real disk."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ImageError, Reason
from pipeline.images.fetch import FetchSettings, fetched, fetched_together, stated_sizes
from pipeline.images.frame import MOST_FRAMES, frame_uri
from pipeline.inputs.options import SourceOptions
from pipeline.inputs.source import Source
from pipeline.store.settings import DEFAULT_ACCESS


def settings(root: Path | str | None) -> FetchSettings:
    return FetchSettings(str(root) if root else None, DEFAULT_ACCESS, max_pixels=1_000_000)


def row_of(path: Path) -> dict[str, Any]:
    (row,) = Source.at(str(path)).rows()
    return row._asdict()


def reason_of(row: dict[str, Any], root: Path | None) -> Reason:
    with pytest.raises(ImageError) as caught:
        fetched(row, settings(root))
    return caught.value.reason


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photos" / "a b#%.jpg"
    path.parent.mkdir()
    path.write_bytes(b"some bytes")
    return path


def test_the_bytes(photo: Path) -> None:
    assert fetched(row_of(photo), settings(photo.parent)).data == b"some bytes"


def test_the_size_of_an_image_that_a_list_names(photo: Path, tmp_path: Path) -> None:
    uri = row_of(photo)["uri"]
    gone, part, refused = f"{uri}x", f"file://{tmp_path}/a.tar#1.jpg", "http://127.0.0.1:1/x.jpg"
    assert stated_sizes([uri, gone, part, refused], DEFAULT_ACCESS) == [len(b"some bytes"), 0, 0, 0]


def test_a_store_that_hangs_is_not_waited_for() -> None:
    """In a process of its own, since the call that is left behind goes on for minutes."""
    asked = """
import sys
from pipeline.images import fetch
from pipeline.shutdown import exit_process
from pipeline.store.settings import Access, PlaceSettings
fetch.SIZES_S = 0.2
access = Access(anonymous=True, place=PlaceSettings(endpoint_url=sys.argv[1]))
print(fetch.stated_sizes(["s3://bucket/a.jpg"], access))
exit_process(0)
"""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        command = [sys.executable, "-c", asked, f"http://127.0.0.1:{silent.getsockname()[1]}"]
        assert subprocess.run(command, check=True, capture_output=True, timeout=60).stdout == b"[]\n"


def test_deleted_since(photo: Path) -> None:
    row = row_of(photo)
    photo.unlink()
    assert reason_of(row, photo.parent) is Reason.SOURCE_MISSING


def test_changed_since(photo: Path) -> None:
    row = row_of(photo)
    photo.write_bytes(b"other bytes")
    assert reason_of(row, photo.parent) is Reason.SOURCE_CHANGED


def test_more_bytes_than_the_limit_can_need(photo: Path) -> None:
    assert reason_of(row_of(photo) | {"size": (256 << 20) + 1}, photo.parent) is Reason.TOO_LARGE


def test_a_row_that_states_another_size_than_the_file(photo: Path) -> None:
    os.truncate(photo, (256 << 20) + 1)
    row = row_of(photo) | {"size": 0}
    assert reason_of(row, photo.parent) is Reason.TOO_LARGE
    assert reason_of(row | {"etag": ""}, photo.parent) is Reason.TOO_LARGE


@pytest.mark.parametrize("etag", ["", "an etag"])
def test_a_pipe_is_no_image(tmp_path: Path, etag: str) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    row = {"uri": f"file://{tmp_path}/pipe.png", "etag": etag, "size": -1}
    assert reason_of(row, None) is Reason.NOT_AN_IMAGE


def test_a_link_that_leaves_the_root(photo: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"not yours")
    link = photo.with_name("link.jpg")
    link.symlink_to(secret)
    assert reason_of(row_of(link), photo.parent) is Reason.OUTSIDE_ROOT
    assert fetched(row_of(link), settings(None)).data == b"not yours", "a file that was named itself"


def test_dots_that_leave_the_root(photo: Path, tmp_path: Path) -> None:
    row = row_of(photo) | {"uri": f"file://{photo.parent}/../secret"}
    assert reason_of(row, photo.parent) is Reason.OUTSIDE_ROOT


def test_a_link_inside_the_root(photo: Path) -> None:
    link = photo.with_name("link.jpg")
    link.symlink_to(photo)
    assert fetched(row_of(link), settings(photo.parent)).data == b"some bytes"


def test_a_link_in_a_circle(photo: Path) -> None:
    link = photo.with_name("link.jpg")
    link.symlink_to(link.name)
    (row,) = (row._asdict() for row in Source.at(str(photo.parent)).rows() if row.uri.endswith("/link.jpg"))
    assert reason_of(row, photo.parent) is Reason.SOURCE_MISSING


def test_a_root_that_is_a_link_itself(photo: Path, tmp_path: Path) -> None:
    alias = tmp_path / "alias"
    alias.symlink_to(photo.parent)
    assert fetched(row_of(alias / photo.name), settings(alias)).data == b"some bytes"


def test_a_link_that_was_listed_on_request(photo: Path, tmp_path: Path) -> None:
    link = tmp_path / "in" / "link.jpg"
    link.parent.mkdir()
    link.symlink_to(photo)
    (row,) = Source.at(str(link.parent), SourceOptions(follow_links=True)).rows()
    assert fetched(row._asdict(), settings(None)).data == b"some bytes"
    with pytest.raises(ImageError, match="--follow-links allows that"):
        fetched(row._asdict(), settings(link.parent))


def test_a_name_that_is_not_utf_8(photo: Path) -> None:
    odd = photo.with_name(os.fsdecode(b"caf\xe9.jpg"))
    photo.rename(odd)
    (row,) = Source.at(str(odd.parent)).rows()
    assert fetched(row._asdict(), settings(odd.parent)).data == b"some bytes"
    odd.unlink()
    with pytest.raises(ImageError) as caught:
        fetched(row._asdict(), settings(odd.parent))
    assert caught.value.reason is Reason.SOURCE_MISSING
    assert str(caught.value).encode(), "a row's message is text"
    odd.symlink_to(os.fsdecode(b"/caf\xe9"))
    with pytest.raises(ImageError, match="outside the input") as left:
        fetched(row._asdict(), settings(odd.parent))
    assert str(left.value).encode()


def test_a_frame_that_is_refused_costs_no_other_of_its_file(photo: Path) -> None:
    stack = row_of(photo)
    rows = [stack | {"uri": frame_uri(stack["uri"], number)} for number in (10_000, MOST_FRAMES, 10_001)]
    for some in (rows, rows[::-1]):
        results = fetched_together(some, settings(photo.parent), threads=1)
        assert [isinstance(result, ImageError) for result in results] == [False, True, False]
        assert results[1].reason is Reason.TOO_LARGE
        assert results[0].data == results[2].data == b"some bytes"
