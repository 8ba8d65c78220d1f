"""What a labeler tells its run's ledger: which images it begins, and which are finished.

A fast labeler would send hundreds of messages a second. So it begins and finishes in one message as many
images as it labels in a beat, BEAT_S. An order to stop, or progress, is delayed by no more than that.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import ray

from pipeline.cluster.attempts import LedgerHandle
from pipeline.labelling.worker_faults import die_with_warning

BEAT_S = 3.0


@dataclass(frozen=True)
class Beat:
    """Images that were begun together."""

    size: int
    suspects: frozenset[str]  # the ones that may have killed a labeler: they are not begun yet


class Beats:
    """The messages of one labeler; for use by one thread."""

    def __init__(self, ledger: LedgerHandle) -> None:
        self._ledger = ledger
        self._reasons: dict[str, str | None] = {}  # why each finished image failed; not yet sent
        self._masks: dict[str, int] = {}
        # One by one in the first block. Images that begin together are suspected together: where labelers
        # were killed every few seconds, an innocent image was blamed for three deaths.
        self._images_a_beat = 1
        self._since_s, self._finished = time.monotonic(), 0  # the last block's end, and images finished since

    def begin(self, image_ids: Sequence[str]) -> Beat | None:
        """Begins the first of these images, as many as fit into a beat; None once the run stops."""
        self.tell()
        some = list(image_ids[: self._images_a_beat])
        suspects: set[str] | None = ray.get(self._ledger.begin.remote(some))
        return None if suspects is None else Beat(len(some), frozenset(suspects))

    def begin_alone(self, image_id: str) -> int | None:
        """Begins a suspect: how often it has been begun, this time included; None once the run stops."""
        self.tell()  # or what is finished would be lost if the labeler dies
        attempt: int | None = ray.get(self._ledger.begin_alone.remote(image_id))
        return attempt

    def finish(self, image_id: str, reason: str | None, masks: int = 0) -> None:
        """Notes that the image has its row, with the reason if it failed; `tell` sends it later."""
        self._reasons[image_id] = reason
        self._masks[image_id] = masks
        self._finished += 1

    def end_block(self) -> None:
        """Tells what is finished, and sets the images in a beat by the pace of this block."""
        self.tell()
        now_s = time.monotonic()
        pace = self._finished / max(now_s - self._since_s, 1e-3)
        self._images_a_beat = max(1, int(BEAT_S * pace))
        self._since_s, self._finished = now_s, 0

    def end_labeler(self, why: str) -> NoReturn:
        """Ends this process, which can begin no more images.

        Images that it has begun keep their attempt, or one that always causes this would be retried for ever.
        """
        self.tell()
        die_with_warning(self._ledger, why)

    def tell(self) -> None:
        """Tells the ledger what is finished; waits for no answer."""
        if self._reasons:
            self._ledger.finish.remote(self._reasons, self._masks)
        self._reasons, self._masks = {}, {}
