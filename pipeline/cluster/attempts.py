"""A ledger of the images being labelled; it is outside the labelers, so that it outlives them.

Ray restarts a dead labeler and retries its block without end, so an image that kills its labeler would kill
labelers for ever. Therefore a labeler reports each image before it begins it. An image that was begun three
times and never finished becomes a failed row; the other images of its block are labelled. A fast labeler
begins several images in one message, so that one ledger can serve many labelers. The ledger also carries
progress and log lines to the driver, and the order to stop to the labelers.
"""

import logging
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import ray

from pipeline.cluster.driver_node import CALLS_AT_ONCE, REPEATS, Worker, lasting_here
from pipeline.cluster.loads import Loads
from pipeline.cluster.worker_log import LogLine, RecentLines
from pipeline.errors import Reason, SamLabelError
from pipeline.metrics.work import Work
from pipeline.program_log import Origin

MOST_ATTEMPTS = 3
# A labeler that dies after it finished its images (while it builds the table of rows) points to no image.
# A block may rightly be done 3 more times until its next image is given up, and more if labelers are killed.
MOST_FINISHES = 50
REMEMBERED = 100_000  # finished images, so that a block done again is not counted twice; 10 MB

# A handle of this actor. Ray adds its remote methods at run time, so no type describes them.
LedgerHandle: TypeAlias = Any


@dataclass(frozen=True)
class Tally:
    """Images finished in this run, before they are committed."""

    labelled: int = 0
    failed: int = 0
    failed_by_reason: dict[str, int] = field(default_factory=dict)
    masks: int = 0
    work: Work = field(default_factory=Work)
    has_labelers: bool = False  # at least one has started
    gave_up: SamLabelError | None = None  # the fault of a worker, which ends the whole run
    unavailable_in_a_row: int = 0  # images finished last, all of them unavailable; each was tried for 45 s
    log: tuple[LogLine, ...] = ()  # what workers have logged since the driver last asked


def add_work(ledger: LedgerHandle, work: Work) -> None:
    """Tells the ledger what this process has done; waits for no answer."""
    ledger.add_work.remote(work)


class AttemptLedger:
    """A Ray actor, one for each run; the run begins with `labelers` labelers."""

    def __init__(self, labelers: int = 1) -> None:
        self._loads = Loads(labelers)
        self._attempts: dict[str, int] = {}
        self._finished: OrderedDict[str, int] = OrderedDict()  # how often, since an image was last given up
        self._reasons: Counter[str] = Counter()
        self._labelled = 0
        self._masks = 0
        self._work = Work()
        self._unavailable_in_a_row = 0
        self._is_stopping = False
        self._gave_up: SamLabelError | None = None
        self._recent = RecentLines()
        self._worker: Any = None  # on this node, once another node has asked for it
        self._warned_of: set[str] = set()  # hosts that do not reach a store

    def worker_on_its_node(self, level: int) -> Any:
        """The actor that does what a store refuses to other nodes (driver_node.py); it logs at `level`."""
        if self._worker is None:
            me = ray.get_runtime_context().current_actor
            self._worker = lasting_here(Worker, calls_at_once=CALLS_AT_ONCE, repeats=REPEATS)(me, level)
        return self._worker

    def warn_of_node(self, host: str, why: str) -> None:
        """Tells the driver, once for each host, that this node did what a store refused to the host."""
        if host not in self._warned_of:
            self._warned_of.add(host)
            self.log(
                "sam_label.cluster",
                logging.WARNING,
                f"on {host}: {why.partition('; ')[0]}; the driver's machine does that work, which is slower; "
                "see that the host reaches input and output as the others do",
            )

    def begin_load(self, labeler: str, node: str) -> float:
        """Seconds that the labeler waits before it loads its model on the node."""
        return self._loads.begin(labeler, node)

    def end_load(self, labeler: str) -> None:
        """Notes that the labeler has its model."""
        self._loads.end(labeler)

    def fail_load(self, labeler: str, why: str) -> bool:
        """Whether the run ends because no labeler can load its model; if not, this one tries again."""
        self._loads.fail(labeler)
        if self._loads.are_hopeless:
            self.give_up(SamLabelError(why))
        return self._is_stopping

    def begin(self, image_ids: Sequence[str]) -> set[str] | None:
        """Begins the images; returns those that were begun before and never finished, without beginning them.

        These may have killed a labeler: call `begin_alone` for each. None once the run stops.
        """
        if self._is_stopping:
            return None
        suspects = self._attempts.keys() & image_ids
        self._attempts.update((image_id, 1) for image_id in image_ids if image_id not in suspects)
        return suspects

    def begin_alone(self, image_id: str) -> int | None:
        """How often the image has been begun, this time included; None once the run stops."""
        if self._is_stopping:
            return None
        self._attempts[image_id] = self._attempts.get(image_id, 0) + 1
        return self._attempts[image_id]

    def finish(self, reasons: Mapping[str, str | None], masks: Mapping[str, int] | None = None) -> None:
        """Notes that images have their rows, each with its reason if it failed, else its number of masks."""
        self._loads.goes_on()
        for image_id, reason in reasons.items():
            self._finish(image_id, reason, (masks or {}).get(image_id, 0))

    def _finish(self, image_id: str, reason: str | None, masks: int) -> None:
        is_given_up = self._attempts.get(image_id, 0) > MOST_ATTEMPTS
        if not is_given_up:  # else it would get new attempts when another image of its block kills a labeler
            self._attempts.pop(image_id, None)
        if image_id in self._finished:
            self._finish_again(image_id)
            return
        if is_given_up:
            self._finished = OrderedDict.fromkeys(self._finished, 1)
        self._finished[image_id] = 1
        if len(self._finished) > REMEMBERED:
            self._finished.popitem(last=False)
        self._unavailable_in_a_row += 1
        if reason != Reason.SOURCE_UNAVAILABLE:
            self._unavailable_in_a_row = 0
        if reason is None:
            self._labelled += 1
            self._masks += masks
        else:
            self._reasons[reason] += 1

    def _finish_again(self, image_id: str) -> None:
        self._finished[image_id] += 1
        if self._finished[image_id] > MOST_FINISHES:
            self.give_up(
                SamLabelError(
                    f"image {image_id} was labelled {MOST_FINISHES} times, and each time its labeler died "
                    "before its block was done; give labelers more memory, or put fewer images in a block"
                )
            )

    def add_work(self, work: Work) -> None:
        """Adds what a worker has done since its last report."""
        self._work += work

    def tally(self, after: int = 0) -> Tally:
        """What has been finished, with the log lines whose numbers are higher than `after`."""
        return Tally(
            labelled=self._labelled,
            failed=self._reasons.total(),
            failed_by_reason=dict(self._reasons),
            masks=self._masks,
            work=self._work,
            has_labelers=self._loads.have_begun,
            gave_up=self._gave_up,
            unavailable_in_a_row=self._unavailable_in_a_row,
            log=self._recent.after(after),
        )

    def log(self, logger: str, level: int, text: str, origin: Origin | None = None) -> None:
        """Stores a log line for the driver."""
        self._recent.add(logger, level, text, origin)

    def stop(self) -> None:
        """From now on no image begins."""
        self._is_stopping = True

    def give_up(self, fault: SamLabelError) -> None:
        """Stops the run for a fault that every worker would meet."""
        self._gave_up = self._gave_up or fault
        self.stop()

    def is_stopping(self) -> bool:
        """Whether the run stops."""
        return self._is_stopping
