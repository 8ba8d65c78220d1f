"""The images left of a manifest, against a set in memory."""

from collections.abc import Sequence
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest

from pipeline.errors import SamLabelError
from pipeline.output import id_ranges
from pipeline.output.format import manifest
from pipeline.output.format.manifest import image_id, manifest_row, rows_of, write_manifest
from pipeline.output.ids import Ids, packed_ids
from pipeline.output.pending import PendingPart, mean_size, pending_parts
from pipeline.store.objects import UNKNOWN_SIZE
from pipeline.store.storage import Store

URIS = [f"file:///{number:04d}" for number in range(500)]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Store, list[str]]:
    """A manifest in parts of 19 images, whose ids are compared in 64 ranges."""
    monkeypatch.setattr(manifest, "ROWS_A_PART", 19)
    monkeypatch.setattr(id_ranges, "IDS_IN_A_RANGE", 10)
    store = Store.at(str(tmp_path))
    return store, write_manifest(store, "r00001", (manifest_row(uri, 1, "e") for uri in URIS))


def ids_of(uris: list[str]) -> Ids:
    return packed_ids(pa.chunked_array([[image_id(uri) for uri in uris]], pa.string()))


@pytest.mark.parametrize("count", [1, 18, 250, 499])
def test_it_is_what_a_set_says(written: tuple[Store, list[str]], count: int) -> None:
    store, parts = written
    done = Random(count).sample(URIS, count)
    halves = [ids_of(done[: count // 2]), ids_of(done[count // 2 :]), ids_of(["file:///of another"])]
    left = pending_parts(store, parts, len(URIS), halves)
    found = [row.uri for part in left for row in rows_of(part.tables(store))]
    assert found == [uri for uri in URIS if uri not in set(done)]
    assert all(sum(table.num_rows for table in part.tables(store)) for part in left)


def test_whole_parts_need_no_bits(written: tuple[Store, list[str]]) -> None:
    store, parts = written
    assert pending_parts(store, parts, len(URIS), [ids_of(URIS[:19])]) == list(map(PendingPart, parts[1:]))
    assert pending_parts(store, parts, len(URIS), [ids_of(URIS)]) == []


def test_a_new_manifest_is_not_read(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path / "nothing"))
    assert pending_parts(store, ["manifest/none"], 10**9, []) == [PendingPart("manifest/none")]


def test_a_full_local_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/dev/full")  # a place where no folder can be made
    with pytest.raises(SamLabelError, match=r"cannot be sorted in /dev/full: .*; set TMPDIR"):
        pending_parts(Store.at(str(tmp_path)), [], 0, [])


@pytest.mark.parametrize(
    ("sizes", "mean"),
    [
        ([], 0),
        ([UNKNOWN_SIZE], 0),
        ([4, UNKNOWN_SIZE], 4),
        ([1, 2], 1.5),
        # three parts of five: those of 19 images at either end and in the middle
        ([1] * 19 + [10**9] * 19 + [2] * 19 + [10**9] * 19 + [UNKNOWN_SIZE] + [6] * 18, 165 / 56),
    ],
)
def test_the_mean_size_is_that_of_some_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: list[int], mean: float
) -> None:
    monkeypatch.setattr(manifest, "ROWS_A_PART", 19)
    store = Store.at(str(tmp_path))
    rows = (manifest_row(f"file:///{place:04d}", size, "e") for place, size in enumerate(sizes))
    parts = list(map(PendingPart, write_manifest(store, "r00001", rows)))
    assert mean_size(store, parts, lambda uris: [0] * len(uris)) == pytest.approx(mean)


def test_of_a_list_a_few_images_all_over_it_are_asked_for_their_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "ROWS_A_PART", 50)
    store, asked = Store.at(str(tmp_path)), []
    rows = (manifest_row(f"file:///{place:04d}", UNKNOWN_SIZE, "") for place in range(150))
    parts = list(map(PendingPart, write_manifest(store, "r00001", rows)))

    def sizes_of(uris: Sequence[str]) -> list[int]:
        asked.extend(uris)
        return [0 if uri.endswith("0000") else 100 << 20 for uri in uris]

    assert mean_size(store, parts, sizes_of) == 100 << 20
    assert mean_size(store, parts, lambda _: []) == 0, "they were not known in time"
    assert len(asked) == 15
    assert {"file:///0000", "file:///0049", "file:///0050", "file:///0149"} <= set(asked)
