"""Removes files that no longer count: leftovers of killed runs, and shards that a retry or refresh replaced.

A run sweeps only files named for runs before its own, and only those that its own record does not name. So
even an overtaken run that wakes up cannot remove a file that a later run relies on. Files whose names are
not those of a dataset (names.py) stay, wherever they are. So do all files of a folder that is a link: they
may be another dataset's.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.output.commits import RunRecord
from pipeline.output.format.names import Kind, OwnFile, commit_name, generation_of, own_file, shard_name
from pipeline.progress import Progress, silent
from pipeline.store.objects import Entry
from pipeline.store.storage import Store

# Where runs leave files behind. Other folders may be large, and are not ours to look into.
SWEPT_FOLDERS = ("_commits", "_runs", "data", "manifest", "duplicates")
WHOLE_OUTPUT = ("",)
_KEPT = (Kind.RECORD, Kind.LOG, Kind.DATASET, Kind.CARD, Kind.REPORT)


@dataclass(frozen=True)
class Swept:
    """What was removed."""

    files: int
    bytes: int


def sweep(
    store: Store, record: RunRecord, folders: Sequence[str] = SWEPT_FOLDERS, progress: Progress = silent
) -> Swept:
    """Removes the files of earlier runs that the record does not name."""
    own = generation_of(record.run)
    older = [
        entry for entry, file in orphans(store, record, record.started_from, folders) if file.generation < own
    ]
    # Commits first, so that a commit never stands without its shard.
    for number, entry in enumerate(sorted(older, key=lambda entry: entry.name), 1):
        store.delete(entry.name)
        progress(number, len(older))
    return Swept(len(older), sum(entry.size for entry in older))


def orphans(
    store: Store, record: RunRecord, live: Iterable[str], folders: Sequence[str] = SWEPT_FOLDERS
) -> Iterator[tuple[Entry, OwnFile]]:
    """The files of any run that are neither live commits nor their shards nor parts that the record names."""
    named = {*record.manifest, *record.duplicates}
    for commit in live:
        named |= {commit_name(commit), shard_name(commit)}
    for folder in folders:
        for page in () if store.is_link(folder) else store.list(folder):
            for entry in page:
                file = own_file(entry.name)
                if file and entry.name not in named and _is_left_behind(file):
                    yield entry, file


def last_generation(store: Store, folders: Sequence[str] = SWEPT_FOLDERS) -> int:
    """The highest number of a run that a whole file in the folders is named for, 0 if there is none."""
    names = (entry.name for folder in folders for page in store.list(folder) for entry in page)
    files = filter(None, map(own_file, names))
    return max((file.generation for file in files if file.is_whole), default=0)


def _is_left_behind(file: OwnFile) -> bool:
    """Whether a file that no record names can go; whoever takes the next lock removes the older ones."""
    if file.kind in (Kind.LOCK, Kind.PROBE):
        return False
    return not file.is_whole or file.kind not in _KEPT
