"""A dataset that grows while it is read."""

import time
from collections.abc import Iterator
from dataclasses import replace

from pipeline.errors import SamLabelError
from pipeline.output.dataset import Dataset as Snapshot


def followed(snapshot: Snapshot, poll_s: float) -> Iterator[Snapshot]:
    """The snapshot, then each addition, as a snapshot of the new shards alone.

    Ends when the current run ends. Stores announce no new objects, so they are asked every `poll_s` seconds.
    Raises: SamLabelError if rows that were given have been taken out since.
    """
    given: set[str] = set()
    while True:
        names = {commit.name for commit in snapshot.commits}
        if given - names:
            raise SamLabelError(
                f"{snapshot.store.url} was rewritten by run {snapshot.record.run} while it was followed; "
                "open it again"
            )
        added = tuple(commit for commit in snapshot.commits if commit.name not in given)
        if added:
            yield replace(snapshot, commits=added)
        given |= names
        if snapshot.is_complete or snapshot.record.ended:
            return
        if not added:
            time.sleep(poll_s)
        snapshot = snapshot.again()
