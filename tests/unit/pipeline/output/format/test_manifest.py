"""The frozen listing: sorted, unique, in bounded memory."""

import resource
from pathlib import Path

import pytest

from pipeline.errors import SamLabelError
from pipeline.output.format import manifest
from pipeline.output.format.manifest import (
    image_id,
    manifest_row,
    read_manifest,
    rows_of,
    sorted_rows,
    write_manifest,
)
from pipeline.output.refresh import Refreshed
from pipeline.store.storage import Store


def test_rows_come_back_sorted_and_once_whatever_the_order_and_the_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "ROWS_A_PART", 7)
    rows = [
        manifest_row(f"s3://b/{name}", size, "e")
        for size, name in enumerate(["zebra", "a/b", "é", "%20", "a", "a", "b~", "#", "x"])
    ]
    store = Store.at(str(tmp_path))
    parts = write_manifest(store, "r00001", sorted_rows([*rows[::-1], *rows]))
    read = list(rows_of(read_manifest(store, parts)))
    assert [row.uri for row in read] == sorted({row.uri for row in rows})
    assert len(parts) == 2
    assert parts == sorted(parts)


def test_more_chunks_than_a_process_may_have_open_files_are_sorted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(manifest, "ROWS_A_PART", 1)
    rows = [manifest_row(f"file:///{number:04d}", 1, "e") for number in range(1500)]
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, before[1]))
    try:
        assert list(sorted_rows(reversed(rows))) == rows
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_first_row_of_a_name_is_taken_however_many_chunks_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(manifest, "ROWS_A_PART", 2)
    monkeypatch.setattr(manifest, "MOST_OPEN", 2)
    rows = [manifest_row(f"file:///{name}", size, "e") for size, name in enumerate("debcababdaeecd")]
    firsts = {row.uri: row for row in reversed(rows)}
    assert list(sorted_rows(rows)) == [firsts[uri] for uri in sorted(firsts)]


def test_a_full_local_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/dev/full")  # a place that takes no folder
    with pytest.raises(SamLabelError, match=r"cannot be sorted in /dev/full: .*; set TMPDIR"):
        list(sorted_rows([]))


def test_no_image_no_part(tmp_path: Path) -> None:
    assert write_manifest(Store.at(str(tmp_path)), "r00001", sorted_rows([])) == []


def test_identity_is_the_whole_uri() -> None:
    assert image_id("s3://b/x/a.jpg") != image_id("s3://b/y/a.jpg")
    assert image_id("s3://b/a") == "bf627f0e057a03550e7a51ab47d98b84"  # datasets store it: never another
    assert image_id("file:///e\u0301.jpg") != image_id("file:///é.jpg")


def test_refreshing_merges_the_old_and_the_new_listing() -> None:
    old = [manifest_row(f"file:///{name}", 1, "1") for name in "abc"]
    new = [manifest_row(f"file:///{name}", 1, etag) for name, etag in (("a", "1"), ("b", "2"), ("d", "1"))]
    old.append(manifest_row("file:///neither listed nor labelled", 1, "1"))
    left = [old[0], old[-1]]
    changed: list[str] = []
    merged = Refreshed(old, new, left, changed.append)
    assert [(row.uri[-1], row.etag) for row in merged.rows()] == [
        ("a", "1"),
        ("b", "2"),
        ("c", "1"),
        ("d", "1"),
    ]
    assert (merged.images, merged.added, merged.changed, merged.gone) == (4, 1, 1, 1)
    assert changed == [image_id("file:///b")]
    assert [row.uri[-1] for row in Refreshed(old, new, left).pending()] == ["a", "b", "d"]
