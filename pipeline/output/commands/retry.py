"""Queueing failed images again: their rows are taken out, so that the next run labels them."""

from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import Reason
from pipeline.output.dataset import Dataset
from pipeline.output.forget import forget_rows
from pipeline.output.lock import held_lock
from pipeline.output.writer import switched
from pipeline.store.storage import Store


def retry(output: str, reasons: Collection[Reason] = ()) -> int:
    """How many failed images were queued again: those with one of the reasons, or all if none is named.

    Raises: UsageError if there is no dataset, OutputLocked.
    """
    store = Store.at(output)
    wanted = {str(reason) for reason in reasons or Reason}
    Dataset.in_store(store)
    with held_lock(store) as lock:
        before = Dataset.in_store(store)
        values = pa.array(sorted(wanted))
        standing, forgotten = forget_rows(
            before,
            lock.run,
            ["error"],
            lambda table: pc.is_in(table["error"], value_set=values),
            may_match=lambda commit: not wanted.isdisjoint(commit.failed),
        )
        if not forgotten:
            return 0
        settings = {"errors": sorted(wanted)}
        record = before.record.next(lock.run, "retry", standing, settings, only_grows=False)
        with switched(store, lock, record, before.commits):
            return forgotten
