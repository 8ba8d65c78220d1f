"""Rows of images, found in tiny ranges, against a set in memory."""

from pathlib import Path
from random import Random

import pytest

from pipeline.output import id_ranges
from pipeline.output.commands.merge import merge
from pipeline.output.commands.validate import validate
from pipeline.output.dataset import Dataset
from pipeline.output.format.manifest import image_id, manifest_row
from pipeline.output.format.names import labelled
from pipeline.output.format.schema import file_metadata, table_of
from pipeline.output.row_search import row_search
from pipeline.output.shards import write_shards
from pipeline.store.storage import Store

URIS = [f"file:///photos/{number:03d}" for number in range(80)]


@pytest.fixture
def datasets(tmp_path: Path, rehearsal, monkeypatch: pytest.MonkeyPatch) -> list[Dataset]:
    """Two datasets that share images; the first has some rows twice. Ids are compared in 32 ranges."""
    monkeypatch.setattr(id_ranges, "IDS_IN_A_RANGE", 5)
    monkeypatch.setattr(id_ranges, "HELD_BYTES", 16 * 13)
    for name, uris in (("first", URIS[:50]), ("second", URIS[40:])):
        photos = rehearsal([])
        photos.etags = dict.fromkeys(uris, "1")
        photos.shard_rows = 7
        photos.run(Store.at(str(tmp_path / name)))
    first = Store.at(str(tmp_path / "first"))
    again = table_of([photos.row(manifest_row(uri, 1, "1")) for uri in (*URIS[:20:3], URIS[0])])
    write_shards(first, labelled("r00001", 99), again, file_metadata(photos.identity.described(), "r00001"))
    return [Dataset.in_store(first), Dataset.at(str(tmp_path / "second"))]


@pytest.mark.parametrize("once", [False, True])
@pytest.mark.parametrize("count", [1, 40, 80])
def test_they_are_those_that_a_set_finds(datasets: list[Dataset], count: int, once: bool) -> None:
    wanted = Random(count).sample(URIS, count)
    with row_search(datasets) as search:
        for uri in (*wanted, "file:///of no dataset"):
            search.images.add_one(image_id(uri))
        found = [is_found.tolist() for is_found in search.found(once)]
    looked_for, expected = set(wanted), []
    for dataset in datasets:
        for table in dataset.tables(["uri"]):
            expected.append([])
            for uri in table["uri"].to_pylist():
                expected[-1].append(uri in looked_for)
                if once:
                    looked_for.discard(uri)
    assert found == expected


def test_no_shard_is_read_for_no_image(datasets: list[Dataset], tmp_path: Path) -> None:
    for shard in (tmp_path / "first" / "data").iterdir():
        shard.unlink()
    with row_search(datasets) as search:
        assert not any(is_found.any() for is_found in search.found())


def test_a_merge_takes_each_image_once_though_a_dataset_has_it_twice(
    datasets: list[Dataset], tmp_path: Path
) -> None:
    assert validate(datasets[0].store.url).problem_count == 2 * 7 + 1
    merge([dataset.store.url for dataset in datasets], str(tmp_path / "both"))
    assert validate(str(tmp_path / "both")).problems == []
    assert sorted(Dataset.at(str(tmp_path / "both")).table(["uri"])["uri"].to_pylist()) == URIS
