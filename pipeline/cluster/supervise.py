"""Watching over a run: progress to whoever asked, and a clean end where it has to end early.

The pipeline runs in a thread of its own; this one counts, and decides. An early end is an order to begin no
more images: those at work are finished, written and committed. What has not drained in time is abandoned,
and is simply not done: the next run does it.
"""

import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress

import ray
from ray.exceptions import GetTimeoutError, RayError

from pipeline.cluster.attempts import LedgerHandle, Tally
from pipeline.cluster.head import Head
from pipeline.errors import (
    GO_ON,
    ClusterLost,
    Interrupted,
    Reason,
    SamLabelError,
    StoreError,
    TooManyFailures,
)
from pipeline.shutdown import in_the_time_left, signals_noted

TICK_S = 0.25  # how often progress is told
DRAIN_S, ABANDON_S = 12.0, 3.0  # of the 30 s that a run has to end in (ending.py)
ANSWER_S = 5.0  # in which the ledger answers a call of microseconds, if anything of Ray is left
FEWEST_TO_JUDGE = 20  # images; before that, one bad folder first in order could end a good run
INTERRUPTED = f"interrupted; {GO_ON}"
# Faults that are rarely an image's own. When most images have one, all the rest would too.
COMMON_CAUSES = (Reason.FORBIDDEN, Reason.SOURCE_UNAVAILABLE, Reason.LABELER_ERROR, Reason.GPU_OOM)


def supervised(
    work: Callable[[], None],
    ledger: LedgerHandle,
    output: str,
    most_failures: int | None,
    on_tick: Callable[[Tally], None],
) -> None:
    """Does the `work`; `on_tick` is called all the while, and may raise to end it. Advice names `output`.

    Raises: Interrupted, TooManyFailures, SamLabelError, and whatever `work` or `on_tick` raises.
    """
    worker, head, tally = _Worker(work), Head(ray.get_runtime_context().gcs_address), Tally()
    executors_before = _executors()
    with signals_noted() as interrupted:
        worker.start()
        try:
            while True:
                is_over = _is_over(worker)
                head.check()
                with suppress(GetTimeoutError):  # while the ledger is started anew
                    tally = ray.get(ledger.tally.remote(), timeout=ANSWER_S)
                on_tick(tally)
                if tally.gave_up:
                    raise SamLabelError(tally.gave_up)
                _refuse_failures(tally, output, most_failures)
                if is_over:
                    break
                if interrupted.is_set():
                    raise Interrupted(INTERRUPTED)
        except ClusterLost:  # nor is anything left that could be ended
            raise
        except SamLabelError:
            _drain(worker, ledger)
            _abandon(worker, executors_before)
            raise
        except RayError as lost:  # nothing is left that could drain
            _abandon(worker, executors_before)
            if interrupted.is_set():  # and the signal went to Ray's processes too
                raise Interrupted(INTERRUPTED) from lost
            raise SamLabelError(f"Ray was lost ({_last_line(lost)}); {GO_ON}") from lost
    if worker.fault is not None:
        raise told(worker.fault) from worker.fault


def _drain(worker: threading.Thread, ledger: LedgerHandle) -> None:
    """Waits for the images at work, but no longer than DRAIN_S nor for a Ray that is gone."""
    deadline = time.monotonic() + DRAIN_S
    with suppress(RayError):
        ray.get(ledger.stop.remote(), timeout=ANSWER_S)
        while (left_s := deadline - time.monotonic()) > 0 and not _is_over(worker):
            ray.get(ledger.is_stopping.remote(), timeout=min(ANSWER_S, left_s))


def _abandon(worker: threading.Thread, executors_before: Collection[threading.Thread]) -> None:
    """Ends what has not drained: a thread that still used Ray after its end would end the whole process."""

    def end() -> None:
        for executor in _executors():
            if executor not in executors_before:
                executor.shutdown(force=True)  # type: ignore[attr-defined]  # Ray Data's own, not public
        worker.join()

    if worker.is_alive():
        in_the_time_left(end, ABANDON_S)


def _executors() -> list[threading.Thread]:
    """The threads of Ray Data that use Ray, those of other users of this process included."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("StreamingExecutor-")]


def told(fault: BaseException) -> SamLabelError:
    """The error of ours that Ray wrapped, or one that says what Ray said last."""
    cause: BaseException | None = fault
    while cause is not None:
        inner = getattr(cause, "cause", None) or cause.__cause__ or cause.__context__
        if isinstance(cause, SamLabelError) and not isinstance(inner, SamLabelError):
            cause.args = (str(cause).partition("\nFailed to ")[0],)  # behind which Ray Data appends advice
            return cause
        cause = inner
    return SamLabelError(f"labelling stopped: {_last_line(fault)}; {GO_ON}")


def _last_line(fault: BaseException) -> str:
    return str(fault).strip().rpartition("\n")[2] or type(fault).__name__


def _is_over(worker: threading.Thread) -> bool:
    worker.join(TICK_S)
    return not worker.is_alive()


class _Worker(threading.Thread):
    """A thread that keeps its fault; a daemon, so that abandoned work does not hold the process."""

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__(name="sam-label-pipeline", daemon=True)
        self._work = work
        self.fault: BaseException | None = None

    def run(self) -> None:
        try:
            self._work()
        except BaseException as fault:  # noqa: BLE001  # raised again by `supervised`
            self.fault = fault


def _refuse_failures(tally: Tally, output: str, most_failures: int | None) -> None:
    if most_failures is not None and tally.failed > most_failures:
        raise TooManyFailures(
            f"{tally.failed} images failed, more than the {most_failures} that --max-failures allows"
        )
    if tally.unavailable_in_a_row >= FEWEST_TO_JUDGE:
        raise StoreError(
            Reason.SOURCE_UNAVAILABLE,
            f"the store of the input gave none of the last {tally.unavailable_in_a_row} images; when it "
            f"answers, queue them with `sam-label retry {output} --error SOURCE_UNAVAILABLE` and run again",
        )
    finished = tally.labelled + tally.failed
    for reason in COMMON_CAUSES:
        count = tally.failed_by_reason.get(reason, 0)
        if finished >= FEWEST_TO_JUDGE and count > finished / 2:
            raise TooManyFailures(
                f"{count} of the first {finished} images failed with {reason}; see their messages, put it "
                f"right, and go on with `sam-label retry {output} --error {reason}`"
            )
