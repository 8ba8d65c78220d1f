"""Refuses a place that cannot hold an output, before anything is written there."""

import logging
import os
import uuid
from collections.abc import Callable
from pathlib import Path

from pipeline.errors import Reason, SamLabelError, StoreError, UsageError
from pipeline.output.format.names import Kind, own_file, probe_name, whole_file
from pipeline.output.sweep import SWEPT_FOLDERS
from pipeline.store.storage import Store

# What a first run leaves if it is killed before its record exists, and its log if the output is deleted then.
# No run writes a report.
_BEFORE_A_RECORD = {Kind.LOCK, Kind.PROBE, Kind.PART, Kind.DUPLICATES, Kind.CARD, Kind.LOG, Kind.REPORT}
_log = logging.getLogger("sam_label.output")


def output_fault(fault: StoreError) -> SamLabelError:
    """The error for a failed first access to an output: its name is more often wrong than its store."""
    if fault.reason is Reason.SOURCE_UNAVAILABLE:
        return fault
    return UsageError(f"the output cannot be used: {fault}; name a place that can be written")


def refuse_without_put_if_absent(store: Store) -> None:
    """Tests the store, and raises UsageError if it fails: some accept If-None-Match and overwrite anyway."""
    name = probe_name(uuid.uuid4().hex)
    try:
        created = store.create(name, b"first")
    except StoreError as fault:
        raise output_fault(fault) from fault
    try:
        if not created or store.create(name, b"second") or store.read(name) != b"first":
            raise UsageError(
                f"{store.url} overwrites a file that it was asked to create only if absent, so two runs "
                "could destroy each other's work; choose another disk or object store for the output"
            )
    finally:
        store.delete(name)


def refuse_shared_folders(store: Store) -> None:
    """Raises UsageError if a folder of the output is a link to one of a dataset, which it would overwrite."""
    for folder in filter(store.is_link, (*SWEPT_FOLDERS, "_lock")):
        target = Path(os.path.realpath(Path(store.location.path, folder)))
        if (target.parent / "dataset.json").exists():
            raise UsageError(
                f"{store.uri(folder)} is a link to {target}, a folder of a dataset, whose files would be "
                "overwritten; put a copy in the link's place, then run again"
            )


def refuse_strangers(store: Store) -> None:
    """Raises UsageError if no run has become current here, and there are files that no first run has left.

    A shard without a run record is one of a copy that is not whole: no run may count or sweep it.
    """
    if _has_record(store) or (found := _first_file(store, _is_of_no_first_run)) is None:
        return
    if own_file(found) is None:
        raise UsageError(
            f"{store.url} holds other files ({found}); name a new or an empty place for the output"
        )
    if not _has_record(store):  # else another first run has begun meanwhile
        raise UsageError(
            f"{store.url} holds {found} but lacks _runs/, which says what counts; copy the whole dataset, "
            "delete what is left of it, or name a new or an empty place for the output"
        )


def log_strangers(store: Store) -> None:
    """Warns that an overwritten output keeps the files that do not belong to a dataset."""
    try:
        stranger = _first_file(store, lambda name: own_file(name) is None)
    except StoreError:
        return  # a folder that cannot be read is not ours
    if stranger is not None:
        _log.warning(
            "%s holds files that are not part of a dataset, such as %s; they are not deleted",
            store.url,
            stranger,
        )


def _has_record(store: Store) -> bool:
    """Whether any run has become current here, even if its record is damaged by now."""
    return _first_file(store, lambda name: whole_file(name, Kind.RECORD) is not None, "_runs") is not None


def _first_file(store: Store, is_meant: Callable[[str], bool], folder: str = "") -> str | None:
    names = (entry.name for page in store.list(folder) for entry in page)
    return next(filter(is_meant, names), None)


def _is_of_no_first_run(name: str) -> bool:
    file = own_file(name)
    return file is None or (file.is_whole and file.kind not in _BEFORE_A_RECORD)
