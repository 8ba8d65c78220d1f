"""Watches a dataset while a run writes it, from any machine that can read the output.

It reads only the commits, the run's record and its lock. It asks neither the cluster nor the run itself.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from pipeline.errors import UsageError
from pipeline.output.commands.status import rate
from pipeline.output.dataset import Dataset
from pipeline.output.format.names import generation_of, run_id
from pipeline.output.lock import EXPIRY_S, Holder, current_holder
from pipeline.store.storage import Store

LOOK_S = 2.0  # between two looks; the lock beats every 3 s
LOOK_SHARE = 10  # and at least this many times a look's duration: a large output is not listed all the time


class State(StrEnum):
    """What the run is doing."""

    PREPARING = "preparing"  # it holds the output, and lists its input
    RUNNING = "running"
    ENDED = "ended"  # or no run writes here
    DEAD = "dead"  # it was killed: its lock no longer beats


@dataclass(frozen=True)
class Look:
    """The state of the dataset and of its run at one moment."""

    output: str
    state: State
    run: str
    images: int
    labelled: int
    failed_by_reason: dict[str, int]
    left: int
    masks: int
    images_per_s: float | None  # over the last RATE_OVER up to the newest shard
    host: str | None  # of who holds the output
    pid: int | None
    beat_age_s: float | None  # since this watch last saw the lock beat
    outcome: str | None = None  # how the run ended: finished, interrupted, failed
    exit_code: int | None = None
    sentence: str | None = None  # why it did not finish

    @property
    def failed(self) -> int:
        return sum(self.failed_by_reason.values())

    @property
    def time_left_s(self) -> float | None:
        """Seconds until nothing is left, at that rate."""
        return self.left / self.images_per_s if self.images_per_s else None

    @property
    def is_last(self) -> bool:
        return self.state in (State.ENDED, State.DEAD)

    def is_like(self, other: "Look | None") -> bool:
        """Whether nothing but the age of the beat has changed."""
        return other is not None and self.as_json() | {"beat_age_s": 0} == other.as_json() | {"beat_age_s": 0}

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        return {**asdict(self), "failed": self.failed, "time_left_s": self.time_left_s}


def watched(
    output: str,
    wait: Callable[[float], None] | None = None,
    clock: Callable[[], float] | None = None,
) -> Iterator[Look]:
    """Yields looks at the dataset until its run ends; only one look if no run writes.

    Raises: UsageError if there is neither a dataset nor a run that will make one.
    """
    clock = clock or time.monotonic
    store, beats = Store.at(output), _Beats(clock)
    dataset: Dataset | None = None
    while True:
        began_s = clock()
        holder = current_holder(store)
        dataset = dataset.again() if dataset else Dataset.in_store_or_none(store)
        if dataset is None and holder is None:
            raise UsageError(f"{store.url} holds no dataset, and no run writes there; check the name")
        look = _look(store, dataset, holder, beats.age_s(holder))
        yield look
        if look.is_last:
            return
        (wait or time.sleep)(max(LOOK_S, LOOK_SHARE * (clock() - began_s)))


class _Beats:
    """Measures how long ago the lock was last seen to beat, by this machine's clock alone."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: Holder | None = None
        self._seen_s = clock()

    def age_s(self, holder: Holder | None) -> float | None:
        if holder is None:
            return None
        if holder != self._seen:
            self._seen, self._seen_s = holder, self._clock()
        return self._clock() - self._seen_s


def _look(store: Store, dataset: Dataset | None, holder: Holder | None, beat_age_s: float | None) -> Look:
    ended = (dataset.record.ended if dataset else None) or {}
    writer = run_id(holder.generation) if holder else None
    state = State.RUNNING
    if holder is None or beat_age_s is None or (dataset and ended and dataset.record.run == writer):
        state = State.ENDED
    elif holder.process.is_dead_here or beat_age_s >= EXPIRY_S:
        state = State.DEAD
    elif dataset is None or generation_of(dataset.record.run) < holder.generation:
        state = State.PREPARING
    is_known = state is State.ENDED
    return Look(
        output=store.url,
        state=state,
        run=writer or (dataset.record.run if dataset else ""),
        images=dataset.images if dataset else 0,
        labelled=dataset.labelled if dataset else 0,
        failed_by_reason=dict(dataset.failed_by_reason) if dataset else {},
        left=dataset.left if dataset else 0,
        masks=dataset.masks if dataset else 0,
        images_per_s=rate(dataset) if dataset and state is not State.PREPARING else None,
        host=holder.process.host if holder else None,
        pid=holder.process.pid if holder else None,
        beat_age_s=None if beat_age_s is None else round(beat_age_s, 1),
        outcome=ended.get("outcome") if is_known else None,
        exit_code=ended.get("exit_code") if is_known else None,
        sentence=ended.get("sentence") if is_known else None,
    )
