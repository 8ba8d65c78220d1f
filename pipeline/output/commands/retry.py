"""Queues failed images again: takes their rows out, so that the next run labels them."""

from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.errors import Reason, UsageError
from pipeline.output.commits import Commit
from pipeline.output.dataset import Dataset
from pipeline.output.forget import forget_rows
from pipeline.output.lock import held_lock
from pipeline.output.shards import read_shard
from pipeline.output.writer import switched
from pipeline.progress import Progress, silent
from pipeline.store.storage import Store


def retry(output: str, reasons: Collection[Reason] = (), progress: Progress = silent) -> int:
    """Queues failed images that have one of the reasons, or all if none is named; returns how many.

    Raises: UsageError if there is no dataset, or no run can label its images; OutputLocked.
    """
    store = Store.at(output)
    wanted = {str(reason) for reason in reasons or Reason}
    if Dataset.in_store(store).record.is_merged:
        raise UsageError(
            f"{store.url} was merged from datasets of several inputs, and no run can continue it; retry and "
            "run those datasets, and merge them again"
        )
    with held_lock(store) as lock:
        before = Dataset.in_store(store)
        failed = (_failed_rows(store, commit, wanted) for commit in before.commits)
        standing, forgotten = forget_rows(before, lock.run, failed, progress)
        if not forgotten:
            return 0
        settings = {"errors": sorted(wanted)}
        record = before.record.next(lock.run, "retry", standing, settings, only_grows=False)
        with switched(store, lock, record, before.commits):
            return forgotten


def _failed_rows(store: Store, commit: Commit, reasons: Collection[str]) -> NDArray[np.bool_]:
    """For each row of a shard, whether it failed for one of the reasons; a shard without any is not read."""
    if not any(reason in commit.failed for reason in reasons):
        return np.zeros(commit.rows, bool)
    errors = read_shard(store, commit, ["error"])["error"]
    is_failed: NDArray[np.bool_] = pc.is_in(errors, value_set=pa.array(list(reasons))).to_numpy()
    return is_failed
