"""Which names are a dataset's: exactly those that the code writes."""

import pytest

from pipeline.output.format.names import (
    Kind,
    OwnFile,
    commit_name,
    kept,
    labelled,
    lock_name,
    log_name,
    own_file,
    part_name,
    probe_name,
    record_name,
    run_id,
    shard_name,
    whole_file,
)

WRITTEN = {
    "dataset.json": OwnFile(Kind.DATASET, "dataset", 0, is_whole=True),
    lock_name(3): OwnFile(Kind.LOCK, "00003", 3, is_whole=True),
    lock_name(123_456): OwnFile(Kind.LOCK, "123456", 123_456, is_whole=True),
    probe_name("0a" * 16): OwnFile(Kind.PROBE, f"probe-{'0a' * 16}", 0, is_whole=True),
    record_name(run_id(7)): OwnFile(Kind.RECORD, "r00007", 7, is_whole=True),
    log_name(run_id(7)): OwnFile(Kind.LOG, "r00007", 7, is_whole=True),
    part_name(run_id(7), 12): OwnFile(Kind.PART, "r00007-00012", 7, is_whole=True),
    shard_name(labelled(run_id(7), 12)): OwnFile(Kind.SHARD, "r00007-000012", 7, is_whole=True),
    shard_name(labelled(run_id(7), 12) + ".3"): OwnFile(Kind.SHARD, "r00007-000012.3", 7, is_whole=True),
    shard_name(labelled(run_id(7), 1_234_567)): OwnFile(Kind.SHARD, "r00007-1234567", 7, is_whole=True),
    commit_name(kept(run_id(100_000), 1)): OwnFile(Kind.COMMIT, "r100000-kept000001", 100_000, is_whole=True),
    "data/.tmp-r00007-000012.parquet-0123abcd": OwnFile(Kind.SHARD, "r00007-000012", 7, is_whole=False),
    ".tmp-dataset.json-0123abcd": OwnFile(Kind.DATASET, "dataset", 0, is_whole=False),
    "_lock/.tmp-00003.json-0123abcd": OwnFile(Kind.LOCK, "00003", 3, is_whole=False),
}
STRANGERS = [
    "holiday.jpg",
    "r00001.png",
    "review/r00001.png",
    "review/r00001-000000.parquet",
    "review/data/r00001-000000.parquet",
    "review/dataset.json",
    "r00001-000000.parquet",
    "dataset.json.bak",
    "dataset_json",
    "Dataset.json",
    "data/mine.parquet",
    "data/r1.parquet",
    "data/r00001.parquet",
    "data/r00001-1.parquet",
    "data/r00001-000001.parquet.bak",
    "data/r00001-000001.PARQUET",
    "data/r00001-000001.parquet ",
    "data/r00001-000001.parquet\n",
    "data/R00001-000001.parquet",
    "data/r000001-000001.parquet",
    "data/r٠٠٠٠١-000001.parquet",
    "data/r00001-000001.0.parquet",
    "data/r00001-kept.parquet",
    "data/r00001-000001.json",
    "data/r00001-000001.parquet/photo.png",
    "data/old/r00001-000001.parquet",
    "data/.r00001-000001.parquet",
    "data/.tmp-mine",
    "data/.tmp-r00001-000001.parquet",
    "data/.tmp-r00001-000001.parquet-0123ABCD",
    "data/.tmp-r00001-000001.parquet-0123abcd/x",
    "data/x.tmp-r00001-000001.parquet-0123abcd",
    ".tmp-notes.txt-0123abcd",
    ".tmp-mine/r00001-000001.parquet",
    "_commits/r00001-000001.json.bak",
    "_commits/r00001-backup.json",
    "_runs/r00001.json.bak",
    "_runs/r00001-copy.json",
    "_runs/r00001.jsonl",
    "_runs/mine.log.jsonl",
    "_runs/old/r00001.json",
    "_lock.old",
    "_lock/1.json",
    "_lock/00001.json.bak",
    "_lock/00001.jsonl",
    "_lock/probe-mine",
    "manifest/r00001-00000.csv",
    "manifest/r00001.parquet",
]


@pytest.mark.parametrize("name", WRITTEN)
def test_a_name_that_is_written_means_its_file(name: str) -> None:
    file = own_file(name)
    assert file == WRITTEN[name]
    assert whole_file(name, file.kind) == (file if file.is_whole else None)


@pytest.mark.parametrize("name", STRANGERS)
def test_any_other_name_means_none(name: str) -> None:
    assert own_file(name) is None
