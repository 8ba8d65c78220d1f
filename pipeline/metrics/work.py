"""The work of all workers, by stage: each worker measures its own, and the run's ledger adds it up."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from threading import Lock


class Stage(StrEnum):
    """A step of the chain whose time is measured."""

    FETCH = "fetch"  # the tasks that read encoded bytes, eight images side by side
    DECODE = "decode"  # the decoders' processes
    LABEL = "label"  # the model and the masks
    WRITE = "write"  # the tasks that write shards


@dataclass(frozen=True)
class Work:
    """Images and seconds by stage, added up over workers; work that was repeated counts twice."""

    images: Mapping[Stage, int] = field(default_factory=dict)
    seconds: Mapping[Stage, float] = field(default_factory=dict)
    busy_s: float = 0.0  # time that labelers worked, from their first image on
    waiting_s: float = 0.0  # time that labelers waited for a block or a decoded image, without other work

    def __add__(self, other: "Work") -> "Work":
        stages = {*self.images, *other.images}
        return Work(
            {stage: self.images.get(stage, 0) + other.images.get(stage, 0) for stage in stages},
            {stage: self.seconds.get(stage, 0.0) + other.seconds.get(stage, 0.0) for stage in stages},
            self.busy_s + other.busy_s,
            self.waiting_s + other.waiting_s,
        )

    @property
    def feed_idle(self) -> float | None:
        """The share of their time in which labelers waited for images; None before the first image."""
        there_s = self.busy_s + self.waiting_s
        return self.waiting_s / there_s if there_s else None


class WorkClock:
    """Measures the work of one process, of all its threads, between two reports."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._work = Work()
        self._left_out: dict[Stage, float] = {}
        self._labels: bool | None = None  # whether a labeler labels or waits; None before its first image
        self._since = 0.0

    @contextmanager
    def timed(self, stage: Stage, images: int = 1) -> Iterator[None]:
        """Counts the block of code as the stage's work on this many images, also if it raises."""
        began = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - began - self._left_out.pop(stage, 0.0)
            self._add(Work({stage: images}, {stage: seconds}))

    @contextmanager
    def left_out(self, stage: Stage) -> Iterator[None]:
        """Leaves the time of the block, which runs inside of a `timed` one, out of the stage's seconds.

        Only for a stage of one thread. The time is subtracted when the `timed` block ends, since a reported
        total must never fall.
        """
        began = time.perf_counter()
        try:
            yield
        finally:
            left_out_s = time.perf_counter() - began
            self._left_out[stage] = self._left_out.get(stage, 0.0) + left_out_s

    def count(self, stage: Stage) -> None:
        """Counts one image whose time is measured elsewhere."""
        self._add(Work({stage: 1}))

    def labels(self) -> None:
        """Counts the time from now on as work of this labeler."""
        self._turn(True)

    def waits(self) -> None:
        """Counts the time from now on as this labeler's wait for images."""
        self._turn(False)

    @contextmanager
    def waiting(self, idle_since: Callable[[], float]) -> Iterator[None]:
        """Counts the block as a wait for images, from `idle_since()` on, when the last image was done."""
        with self._lock:
            self._count_until_now()
            began, self._labels = self._since, None  # neither; counted below
        try:
            yield
        finally:
            with self._lock:
                now = time.perf_counter()
                waited_s = max(0.0, now - max(began, idle_since()))
                self._work += Work(busy_s=now - began - waited_s, waiting_s=waited_s)
                self._labels, self._since = True, now

    def _turn(self, labels: bool) -> None:
        with self._lock:
            self._count_until_now()
            self._labels = labels

    def _count_until_now(self) -> None:
        now = time.perf_counter()
        if self._labels is not None:
            spent = now - self._since
            self._work += Work(busy_s=spent) if self._labels else Work(waiting_s=spent)
        self._since = now

    def read(self) -> Work:
        """What was measured since the last call."""
        with self._lock:
            self._count_until_now()
            work, self._work = self._work, Work()
        return work

    def _add(self, work: Work) -> None:
        with self._lock:
            self._work += work
