"""The report of a run: filled in while it goes on, then put into its record and sent to a webhook."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.errors import Interrupted, SamLabelError, last_line
from pipeline.kept_lines import KeptLines
from pipeline.metrics.work import Stage, Work

Outcome = Literal["finished", "interrupted", "failed"]


@dataclass(frozen=True)
class Ending:
    """How a run ended."""

    outcome: Outcome
    exit_code: int
    sentence: str | None = None  # why, if it did not finish

    @classmethod
    def of(cls, fault: BaseException | None) -> "Ending":
        """How a run ended: `fault` is what it raised, None if it finished."""
        if fault is None:
            return cls("finished", 0)
        if isinstance(fault, KeyboardInterrupt | Interrupted):
            return cls("interrupted", Interrupted.exit_code, str(fault) or "interrupted")
        if isinstance(fault, SamLabelError):
            return cls("failed", fault.exit_code, str(fault))
        sentence = f"{type(fault).__name__}: {last_line(str(fault))}"
        return cls("failed", SamLabelError.exit_code, sentence)


@dataclass
class RunReport:
    """The figures of one run."""

    output: str
    run: str = ""  # its name, once it holds the output
    images: int = 0  # how many it is to label
    device: str = ""  # "" if it labelled none
    labelers: int = 0
    labelled: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)  # by reason
    masks: int = 0
    work: Work = field(default_factory=Work)
    log: KeptLines = field(default_factory=KeptLines)
    _began_s: float = field(default_factory=time.monotonic)

    @property
    def done(self) -> int:
        """Images that have their row, failed ones included."""
        return self.labelled + sum(self.failed.values())

    @property
    def left(self) -> int:
        return max(self.images - self.done, 0)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run was asked for."""
        return round(time.monotonic() - self._began_s, 3)

    @property
    def is_of_labelling(self) -> bool:
        """Whether there was something to label."""
        return self.images > 0

    def count(self, labelled: int, failed: Mapping[str, int], masks: int) -> None:
        """Replaces the counts by these. At the run's end they are counted from its commits."""
        self.labelled, self.failed, self.masks = labelled, failed, masks

    def counts(self) -> dict[str, Any]:
        """The numbers of images and masks."""
        return {
            "images": self.done,
            "labelled": self.labelled,
            "failed": dict(self.failed),
            "masks": self.masks,
            "left": self.left,
        }

    def as_json(self) -> dict[str, Any]:
        """JSON values: counts, rates, and for each stage its images, seconds, and images/s of one worker."""
        return {
            **self.counts(),
            "device": self.device,
            "labelers": self.labelers,
            "elapsed_s": self.elapsed_s,
            "images_per_s": _rate(self.done, self.elapsed_s),
            "feed_idle": self.work.feed_idle,
            "stages": {
                stage.value: _stage(self.work, stage) for stage in Stage if self.work.images.get(stage)
            },
        }


def _stage(work: Work, stage: Stage) -> dict[str, Any]:
    images, seconds = work.images[stage], work.seconds[stage]
    return {"images": images, "seconds": round(seconds, 3), "images_per_s": _rate(images, seconds)}


def _rate(images: int, seconds: float) -> float | None:
    return round(images / seconds, 3) if seconds > 0 else None
