"""Removing what killed runs have left behind, so that a plain glob of data/*.parquet is exact again.

It takes the output's lock, so it never removes what a live run is writing; and it becomes the current run, so
what a run that only seemed dead commits later counts no more.
"""

from dataclasses import replace

from pipeline.output.commits import now, run_id
from pipeline.output.dataset import Dataset
from pipeline.output.lock import held_lock
from pipeline.output.sweep import Swept, orphans, sweep
from pipeline.output.writer import switched
from pipeline.store.storage import Store


def collect(output: str) -> Swept:
    """What was removed; nothing is written where there is nothing to remove.

    Raises: UsageError where there is no dataset, OutputLocked.
    """
    store = Store.at(output)
    Dataset.in_store(store)
    with held_lock(store) as lock:
        before = Dataset.in_store(store)
        live = tuple(commit.name for commit in before.commits)
        if next(orphans(store, before.record, live), None) is None:
            return Swept(0, 0)
        record = replace(
            before.record,
            run=run_id(lock.generation),
            purpose="gc",
            started_from=live,
            started_at=now(),
            settings={},
            ended=None,
        )
        with switched(store, lock, record, before.commits):
            return sweep(store, record)
