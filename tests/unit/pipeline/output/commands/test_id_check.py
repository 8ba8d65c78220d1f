"""Rows against a manifest in tiny ranges, and with sets in memory: the same problems in the same order."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from pipeline.errors import DamagedFile
from pipeline.output import id_ranges
from pipeline.output.commands.validate import validate
from pipeline.output.commits import RunRecord
from pipeline.output.dataset import Dataset
from pipeline.output.format import duplicates, manifest
from pipeline.output.format.duplicates import Duplicate, write_duplicates
from pipeline.output.format.manifest import manifest_row, write_manifest
from pipeline.output.format.names import DATASET, labelled, record_name
from pipeline.output.format.schema import file_metadata, table_of
from pipeline.output.shards import read_shard, write_shards
from pipeline.store.storage import Store

RUN = "r00001"


def problems_by_sets(dataset: Dataset) -> Iterator[str]:
    """The problems, found in the slow and simple way."""
    rows = [
        (row["image_id"], row["uri"], commit.shard)
        for commit in dataset.commits
        for row in read_shard(dataset.store, commit, ["image_id", "uri"]).to_pylist()
    ]
    held = Counter(image for image, _, _ in rows)
    yield from (f"{uri} has more than one row, one of them in {it}" for key, uri, it in rows if held[key] > 1)
    listed: list[str] = []
    try:
        for part in dataset.manifest():
            for row in part.to_pylist():
                listed.append(row["image_id"])
                if row["image_id"] not in held:
                    yield f"{row['uri']} has no row; run the same sam-label run again"
        if len(listed) != dataset.images:
            yield f"the manifest has {len(listed)} images, but run {RUN} says {dataset.images}"
        known = set(listed)
        for part in dataset.duplicates():
            for row in part.to_pylist():
                if row["image_id"] not in known:
                    yield f"{row['uri']} is a duplicate of an image that the manifest lacks"
    except DamagedFile as fault:
        yield str(fault)
        return
    yield from (f"{uri} in {it} is not in the manifest" for key, uri, it in rows if key not in known)


@pytest.mark.parametrize("damaged", [None, "manifest", "duplicates"])
@pytest.mark.parametrize("seed", range(4))
def test_problems_are_those_of_sets_in_their_order(
    tmp_path: Path, rehearsal, monkeypatch: pytest.MonkeyPatch, seed: int, damaged: str | None
) -> None:
    for module, name, value in (
        (manifest, "ROWS_A_PART", 7),
        (duplicates, "ROWS_A_PART", 3),
        (id_ranges, "IDS_IN_A_RANGE", 5),
        (id_ranges, "HELD_BYTES", 16 * 11),
    ):
        monkeypatch.setattr(module, name, value)
    random, photos, store = Random(seed), rehearsal([]), Store.at(str(tmp_path))
    images = [manifest_row(f"file:///photos/{number:03d}", 1, "1") for number in range(60)]
    listed, held = images[:50], images[random.randrange(9) :]
    parts = write_manifest(store, RUN, listed)
    twins = [Duplicate(f"file:///twin/{n}", one.image_id) for n, one in enumerate(random.sample(images, 10))]
    twin_parts, _ = write_duplicates(store, RUN, twins)
    told = 50 - seed % 2
    record = RunRecord(
        RUN,
        "label",
        photos.identity,
        photos.source,
        tuple(parts),
        told,
        duplicates=twin_parts,
        grown_since=RUN,
    )
    store.create(record_name(RUN), record.to_json())
    store.publish(DATASET, json.dumps(photos.identity.described()).encode())
    rows = [photos.row(image) for image in (*held, *random.choices(held, k=seed * 3))]
    random.shuffle(rows)
    while rows:
        some, rows = rows[: random.randint(1, 9)], rows[9:]
        metadata = file_metadata(photos.identity.described(), RUN)
        write_shards(store, labelled(RUN, len(rows)), table_of(some), metadata)
    if damaged:
        part = random.choice(sorted((tmp_path / damaged).iterdir()))
        part.write_bytes(part.read_bytes()[:-9])
    assert validate(str(tmp_path)).problems == list(problems_by_sets(Dataset.in_store(store)))
