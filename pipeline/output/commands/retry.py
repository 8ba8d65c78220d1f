"""Queueing failed images again: their rows are taken out, so that the next run finds them not done."""

from collections.abc import Collection
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import Reason
from pipeline.output.commits import now, run_id
from pipeline.output.dataset import Dataset
from pipeline.output.forget import forget_rows
from pipeline.output.lock import held_lock
from pipeline.output.writer import switched
from pipeline.store.storage import Store


def retry(output: str, reasons: Collection[Reason] = ()) -> int:
    """How many failed images were queued again: those with one of the reasons, or all without any named.

    Raises: UsageError where there is no dataset, OutputLocked.
    """
    store = Store.at(output)
    wanted = {str(reason) for reason in reasons or Reason}
    Dataset.in_store(store)
    with held_lock(store) as lock:
        before = Dataset.in_store(store)
        values = pa.array(sorted(wanted))
        standing, forgotten = forget_rows(
            before,
            run_id(lock.generation),
            ["error"],
            lambda table: pc.is_in(table["error"], value_set=values),
            may_match=lambda commit: not wanted.isdisjoint(commit.failed),
        )
        if not forgotten:
            return 0
        record = replace(
            before.record,
            run=run_id(lock.generation),
            purpose="retry",
            grown_since=run_id(lock.generation),
            started_from=standing,
            started_at=now(),
            settings={"errors": sorted(wanted)},
            ended=None,
        )
        with switched(store, lock, record, before.commits):
            return forgotten
