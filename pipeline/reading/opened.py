"""Opening a dataset, with one sentence for what is none, or none yet, or none that can be read here."""

import json
from dataclasses import replace
from typing import Any

from pipeline.errors import DamagedFile, StoreError, UsageError
from pipeline.output.dataset import Dataset as Snapshot
from pipeline.output.format.schema import SCHEMA_VERSION
from pipeline.store.storage import Store


def opened_snapshot(url: str) -> Snapshot:
    """The dataset as it is now. Raises: UsageError, DamagedFile."""
    store = Store.at(url)
    try:
        snapshot = Snapshot.in_store_or_none(store)
    except DamagedFile:
        _refuse_newer(store)
        raise
    if snapshot is not None:
        _refuse_newer(store)
        return snapshot
    if next(store.list("data"), None) is not None:
        raise UsageError(
            f"{store.url} holds data/ but not what says which shards count (_runs/ and _commits/); copy the "
            "whole dataset, or read the Parquet files themselves"
        )
    if next(store.list("_lock"), None) is not None:
        raise UsageError(f"{store.url} has no rows yet, a run has just begun there; open it again later")
    raise UsageError(f"{store.url} holds no dataset; sam-label run INPUT OUTPUT makes one")


def pinned_snapshot(url: str, pin: dict[str, Any]) -> Snapshot:
    """The dataset as it was when the pin was taken. Raises: UsageError if rows were taken out since."""
    now = opened_snapshot(url)
    try:
        names, run = list(pin["commits"]), str(pin["run"])
    except (KeyError, TypeError) as fault:
        raise UsageError("the pin is none; give what Dataset.pin returned") from fault
    commits = {commit.name: commit for commit in now.commits}
    if not commits.keys() >= set(names):
        raise UsageError(
            f"{now.store.url} was written anew since it was pinned at run {run} (retry, refresh, compact or "
            "overwrite); open it without the pin"
        )
    return replace(now, commits=tuple(commits[name] for name in names))


def _refuse_newer(store: Store) -> None:
    """Raises: UsageError if a newer sam-label has written the dataset."""
    try:
        version = json.loads(store.read("dataset.json"))["schema_version"]
        is_newer = int(version) > SCHEMA_VERSION
    except (StoreError, ValueError, KeyError, TypeError):
        return  # a copy for people; the run record is what counts
    if is_newer:
        raise UsageError(
            f"{store.url} has schema version {version}, and this sam-label reads up to {SCHEMA_VERSION}; "
            "install a newer one"
        )
