"""Foreign files, planted wherever a dataset has files, with names similar to its own."""

from pipeline.output.dataset import Dataset
from pipeline.store.storage import Store

NAMES = [
    "notes.txt",
    ".hidden",
    "r00001.png",
    "r00001-000000.parquet",
    "dataset.json.bak",
    ".tmp-notes.txt-0123abcd",
    ".tmp-dataset.json",
    "review/r00001.png",
    "review/r00001-000000.parquet",
    "review/data/r00001-000077.parquet",
    "review/.tmp-r00001-000000.parquet-0123abcd",
    "data/mine.csv",
    "data/r1.parquet.txt",
    "data/r00001-000001.parquet.bak",
    "data/R00001-000077.json",
    "data/r00001-kept.txt",
    "data/.tmp-r00001-000001.parquet",
    "data/r00001-000077.parquet/photo.png",
    "data/old/r00001-000001.parquet",
    "manifest/r00001-00000.csv",
    "manifest/old/r00001-00000.parquet",
    "_commits/r00001-000001.json.bak",
    "_commits/r00001-mine.json",
    "_runs/r99999.json.bak",
    "_runs/old/r99999.json",
    "_runs/r99999-mine.json",
    "_lock.old",
    "_lock/1.json",
    "_lock/99999.json.bak",
    "_lock/00001.jsonl",
    "_lock/old/00001.json",
]


def plant(store: Store) -> None:
    for name in NAMES:
        store.publish(name, _content(name))


def lost(store: Store) -> list[str]:
    """The foreign files that are gone or have other bytes."""
    return [name for name in NAMES if store.info(name) is None or store.read(name) != _content(name)]


def own_names(store: Store) -> set[str]:
    """Every file in the output that is not foreign."""
    return {entry.name for page in store.list() for entry in page} - set(NAMES)


def live_names(dataset: Dataset) -> set[str]:
    """The committed shards and their commits."""
    return {
        name for stem in dataset.commit_names for name in (f"data/{stem}.parquet", f"_commits/{stem}.json")
    }


def _content(name: str) -> bytes:
    return f"mine: {name}".encode()
