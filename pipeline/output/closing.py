"""Ends a run: removes files that no longer count, and records how it ended and what it did."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace

from pipeline.metrics.report import Ending, RunReport
from pipeline.output.card import publish_card
from pipeline.output.commits import Commit, RunRecord, failed_by_reason, now
from pipeline.output.dataset import Dataset
from pipeline.output.format.names import record_name
from pipeline.output.kept_log import KeptLog
from pipeline.output.lock import Lock
from pipeline.output.sweep import sweep
from pipeline.store.storage import Store

_log = logging.getLogger("sam_label.output")


def close_run(
    store: Store,
    lock: Lock,
    record: RunRecord,
    known: Sequence[Commit],
    report: RunReport,
    log: KeptLog,
    fault: BaseException | None,
) -> None:
    """Closes the run that holds the lock; `fault` is what ended it, None if it finished.

    Raises: OutputLocked, StoreError, DamagedFile.
    """
    lock.refuse_if_lost()
    swept = sweep(store, record)
    _log.debug("removed %d files that killed runs left behind, %d bytes", swept.files, swept.bytes)
    end = Dataset.in_store(store, known)
    own = end.own_commits
    failed = failed_by_reason(own)
    labelled = sum(commit.rows for commit in own) - sum(failed.values())
    report.count(labelled, failed, sum(commit.masks for commit in own))
    ended = {
        "how": type(fault).__name__ if fault else "finished",
        "at": now(),
        "labelled": end.labelled,
        "failed": end.failed_by_reason,
        "masks": end.masks,
        "left": end.left,
        **asdict(Ending.of(fault)),
        "report": report.as_json() if report.is_of_labelling else None,
    }
    store.publish(record_name(record.run), replace(record, ended=ended).to_json())
    log.put()
    publish_card(end)
