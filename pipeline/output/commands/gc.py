"""Removes the files that killed runs have left behind, so that a plain glob of data/*.parquet is exact again.

It takes the output's lock, so it never removes what a live run is writing. It becomes the current run, so
that later commits of a run that only seemed dead do not count.
"""

from pipeline.output.card import publish_card
from pipeline.output.dataset import Dataset
from pipeline.output.lock import held_lock
from pipeline.output.sweep import WHOLE_OUTPUT, Swept, orphans, sweep
from pipeline.output.writer import publish_dataset_json, switched
from pipeline.progress import Progress, silent
from pipeline.store.storage import Store


def collect(output: str, progress: Progress = silent) -> Swept:
    """Removes the files and counts them. If there are none, it writes only what describes the dataset.

    That is its card and dataset.json, if they are out of date or gone.

    Raises: UsageError if there is no dataset, OutputLocked.
    """
    store = Store.at(output)
    Dataset.in_store(store)
    with held_lock(store) as lock:
        before = Dataset.in_store(store)
        if next(orphans(store, before.record, before.commit_names, WHOLE_OUTPUT), None) is None:
            publish_dataset_json(store, before.record)
            publish_card(before)  # a killed run did not do it
            return Swept(0, 0)
        record = before.record.next(lock.run, "gc", before.commit_names)
        with switched(store, lock, record, before.commits):
            return sweep(store, record, WHOLE_OUTPUT, progress)
