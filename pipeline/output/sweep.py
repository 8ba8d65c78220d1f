"""Removing what no longer counts: leftovers of killed runs, and shards that a retry or refresh has replaced.

A run sweeps only files named for runs before its own, and only those that its own record does not name. So
even an overtaken run that wakes up cannot remove a file that a later run relies on.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from pipeline.output.commits import RunRecord, commit_name, generation_of, shard_name
from pipeline.store.disk import TEMPORARY
from pipeline.store.objects import Entry
from pipeline.store.storage import Store


@dataclass(frozen=True)
class Swept:
    """What was removed."""

    files: int
    bytes: int


def sweep(store: Store, record: RunRecord) -> Swept:
    """Removes what runs before the record's have left and it does not name."""
    own = generation_of(record.run) or 0
    files = size = 0
    # Commits first: a commit never stands without its shard.
    for orphan in sorted(orphans(store, record, record.started_from), key=lambda entry: entry.name):
        if _generation(orphan.name) < own:
            store.delete(orphan.name)
            files, size = files + 1, size + orphan.size
    return Swept(files, size)


def orphans(store: Store, record: RunRecord, live: Iterable[str]) -> Iterator[Entry]:
    """The files of any run that are neither live commits nor their shards nor the manifest's parts."""
    kept = {*record.manifest}
    for commit in live:
        kept |= {commit_name(commit), shard_name(commit)}
    for page in store.list():
        for entry in page:
            if _generation(entry.name) >= 0 and entry.name not in kept and not _is_record(entry.name):
                yield entry


def _generation(name: str) -> int:
    """The generation a file is named for; 0 for a half-written dataset.json, -1 for what is none of ours."""
    file = PurePosixPath(name).name
    if file.startswith(f"{TEMPORARY}dataset.json"):
        return 0
    generation = generation_of(file.removeprefix(TEMPORARY))
    return -1 if generation is None else generation


def _is_record(name: str) -> bool:
    return name.startswith("_runs/") and TEMPORARY not in name
