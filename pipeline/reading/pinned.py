"""A dataset as it was when a pin was taken of it."""

from dataclasses import replace
from typing import Any

from pipeline.errors import UsageError
from pipeline.output.dataset import Dataset as Snapshot


def pinned_snapshot(url: str, pin: dict[str, Any]) -> Snapshot:
    """The dataset as it was when the pin was taken. Raises: UsageError if rows were taken out since."""
    now = Snapshot.at(url)
    try:
        names, run = list(pin["commits"]), str(pin["run"])
        if isinstance(pin["commits"], str) or set(map(type, names)) - {str} or len(set(names)) < len(names):
            raise TypeError
    except (KeyError, TypeError) as fault:
        raise UsageError("the pin is not valid; give what Dataset.pin returned") from fault
    commits = {commit.name: commit for commit in now.commits}
    if not commits.keys() >= set(names):
        raise UsageError(
            f"{now.store.url} was rewritten after it was pinned at run {run} (retry, refresh, compact or "
            "overwrite); open it without the pin"
        )
    return replace(now, commits=tuple(commits[name] for name in names))
