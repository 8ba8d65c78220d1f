"""Who is at work on what, kept outside the workers so that it outlives them.

An image that kills its labeler is given to the next one, and would kill labelers for ever: Ray restarts and
retries without end. So a labeler says which image it begins before it does; an image that was begun three
times and never finished is set aside, and its neighbours are not. The same short call carries progress to
the driver and the order to stop to the labelers.
"""

from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pipeline.errors import Reason

MOST_ATTEMPTS = 3
# A labeler that dies after its images, as when their masks are put together, names no culprit. A block of 8
# poisons is passed 24 times and is right to go on; past twice that it would go on for ever.
MOST_FINISHES = 50
REMEMBERED = 100_000  # finished images, so that a block done again is not counted twice; 10 MB

LedgerHandle: TypeAlias = Any  # of this actor in Ray, which makes the remote methods up at run time


@dataclass(frozen=True)
class Tally:
    """Images finished in this run, before they are committed."""

    labelled: int = 0
    failed: int = 0
    failed_by_reason: dict[str, int] = field(default_factory=dict)
    gave_up: str | None = None  # what ends the whole run, in a labeler's words
    unavailable_in_a_row: int = 0  # the last images finished, each after every try: the store is gone


class AttemptLedger:
    """One a run, as a Ray actor."""

    def __init__(self) -> None:
        self._attempts: dict[str, int] = {}
        self._finished: OrderedDict[str, int] = OrderedDict()  # how often
        self._reasons: Counter[str] = Counter()
        self._labelled = 0
        self._unavailable_in_a_row = 0
        self._is_stopping = False
        self._gave_up: str | None = None

    def begin(self, image_id: str) -> int | None:
        """How often the image has been begun, this time included; None where the run stops."""
        if self._is_stopping:
            return None
        self._attempts[image_id] = self._attempts.get(image_id, 0) + 1
        return self._attempts[image_id]

    def finish(self, image_id: str, reason: str | None) -> None:
        """Notes an image's row: `reason` where it failed."""
        self._attempts.pop(image_id, None)
        if image_id in self._finished:
            self._finished[image_id] += 1
            if self._finished[image_id] > MOST_FINISHES:
                self.give_up(
                    f"image {image_id} was labelled {MOST_FINISHES} times, and each time its labeler died "
                    "before its block was done; give labelers more memory, or put fewer images in a block"
                )
            return
        self._finished[image_id] = 1
        if len(self._finished) > REMEMBERED:
            self._finished.popitem(last=False)
        self._unavailable_in_a_row += 1
        if reason != Reason.SOURCE_UNAVAILABLE:
            self._unavailable_in_a_row = 0
        if reason is None:
            self._labelled += 1
        else:
            self._reasons[reason] += 1

    def tally(self) -> Tally:
        """What has been finished."""
        reasons = dict(self._reasons)
        return Tally(
            self._labelled, sum(reasons.values()), reasons, self._gave_up, self._unavailable_in_a_row
        )

    def stop(self) -> None:
        """From now on nothing begins."""
        self._is_stopping = True

    def give_up(self, why: str) -> None:
        """Stops the run for a fault that every labeler would meet."""
        self._gave_up = self._gave_up or why
        self.stop()

    def is_stopping(self) -> bool:
        """Whether the run stops."""
        return self._is_stopping
