"""What workers have done, by stage: measured where it is done, and added up by the run's ledger."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from threading import Lock


class Stage(StrEnum):
    """A step of the chain that takes time."""

    FETCH = "fetch"  # the tasks that read encoded bytes, eight images side by side
    DECODE = "decode"  # the decoders' processes
    LABEL = "label"  # the model and the masks
    WRITE = "write"  # the tasks that write shards


@dataclass(frozen=True)
class Work:
    """Images and seconds by stage, added up over workers; what was done twice counts twice."""

    images: Mapping[Stage, int] = field(default_factory=dict)
    seconds: Mapping[Stage, float] = field(default_factory=dict)
    busy_s: float = 0.0  # of labelers, from their first image
    waiting_s: float = 0.0  # of labelers, for a block or a decoded image, with nothing else under way

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
    """Measures the work of one process, in several threads, until it is reported."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._work = Work()
        self._left_out: dict[Stage, float] = {}
        self._labels: bool | None = None  # whether a labeler labels or waits; None before its first image
        self._since = 0.0

    @contextmanager
    def timed(self, stage: Stage, images: int = 1) -> Iterator[None]:
        """Counts the block of code as the stage's work on so many images, also if it raises."""
        began = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - began - self._left_out.pop(stage, 0.0)
            self._add(Work({stage: images}, {stage: seconds}))

    @contextmanager
    def left_out(self, stage: Stage) -> Iterator[None]:
        """Takes the block of code out of the seconds of the stage's work that it runs within.

        For a stage of one thread. The seconds are taken off when that work ends: no report may fall.
        """
        began = time.perf_counter()
        try:
            yield
        finally:
            left_out_s = time.perf_counter() - began
            self._left_out[stage] = self._left_out.get(stage, 0.0) + left_out_s

    def count(self, stage: Stage) -> None:
        """Counts an image whose work is timed apart."""
        self._add(Work({stage: 1}))

    def labels(self) -> None:
        """From now on this labeler is at work."""
        self._turn(True)

    def waits(self) -> None:
        """From now on this labeler waits for images."""
        self._turn(False)

    @contextmanager
    def waiting(self, idle_since: Callable[[], float]) -> Iterator[None]:
        """Counts the block of code as a wait for images, from when the labeler has had none under way."""
        with self._lock:
            self._count_until_now()
            began, self._labels = self._since, None  # neither, until it is known
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
