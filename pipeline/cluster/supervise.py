"""Supervises a run: reports progress to the caller, and ends the run cleanly if it has to end early.

The pipeline runs in its own thread; the main thread counts and decides. An early end is an order to begin no
more images: images in progress are finished, written and committed. What is not finished in time is
abandoned; the next run does it.
"""

import logging
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

import ray
from ray import ObjectRef
from ray.exceptions import GetTimeoutError, RayError

from pipeline.cluster.attempts import LedgerHandle, Tally
from pipeline.cluster.failures import refuse_failures
from pipeline.cluster.head import Head
from pipeline.cluster.ray_internals import end_executor, executors
from pipeline.cluster.watch import ClusterWatch
from pipeline.cluster.worker_log import LogRelay
from pipeline.errors import GO_ON, ClusterLost, Interrupted, SamLabelError, last_line
from pipeline.shutdown import Call, in_the_time_left
from pipeline.signals import signals_noted

TICK_S = 0.25  # between two calls of `on_tick`
DRAIN_S, ABANDON_S = 10.0, 2.5  # of the 30 s that a run has to end in (pipeline/shutdown.py)
LOOK_S = 0.5  # between two looks at Ray's processes; seconds after a raylet's death Ray ends this process
ANSWER_S = 5.0  # for a ledger's answer that takes microseconds, unless Ray is gone
USER_CODE_ERROR = "ray.exceptions.UserCodeException: "
INTERRUPTED = f"interrupted; {GO_ON}"

_log = logging.getLogger("sam_label.cluster")


def supervised(
    work: Callable[[], None],
    ledger: LedgerHandle,
    images: int,
    output: str,
    most_failures: int | None,
    on_tick: Callable[[Tally], None],
) -> None:
    """Runs `work`, which labels `images` images; calls `on_tick` every TICK_S, which may raise to end it.

    Advice in messages names `output`. Raises: Interrupted, TooManyFailures, SamLabelError, and whatever
    `work` or `on_tick` raises.
    """
    worker, head = Call(work, "sam-label pipeline"), Head(ray.get_runtime_context().gcs_address)
    tally, relay, executors_before, watch = Tally(), LogRelay(), executors(), ClusterWatch()
    with signals_noted() as interrupted:
        worker.start()
        try:
            while True:
                is_over = _is_over(worker)
                head.check()
                with suppress(GetTimeoutError):  # while Ray restarts the ledger
                    tally = _answered(ledger.tally.remote(relay.last), head)
                    relay.log(tally.log)
                    watch.look(tally)
                on_tick(tally)
                if tally.gave_up:
                    raise tally.gave_up
                refuse_failures(tally, images, output, most_failures)
                if is_over:
                    break
                if interrupted.is_set():
                    raise Interrupted(INTERRUPTED)
        except ClusterLost:  # nothing is left that could be ended
            worker.leave_behind()  # at a usual exit it could start another Ray
            raise
        except SamLabelError:
            _drain(worker, ledger)
            _abandon(worker, executors_before)
            raise
        except RayError as lost:  # nothing is left that could drain
            worker.leave_behind()
            head.check()  # a lost raylet has its own sentence, and Ray soon ends this process
            _abandon(worker, executors_before)
            if interrupted.is_set():  # the signal has reached Ray's processes too
                raise Interrupted(INTERRUPTED) from lost
            raise SamLabelError(f"Ray was lost ({_why(lost)}); {GO_ON}") from lost
        finally:
            watch.end()
    if worker.fault is not None:
        raise own_error(worker.fault) from worker.fault


def _answered(tally: ObjectRef[Tally], head: Head) -> Tally:
    """The ledger's answer. Raises: GetTimeoutError after ANSWER_S; ClusterLost, as `Head.check`."""
    deadline = time.monotonic() + ANSWER_S
    while True:
        head.check()
        try:
            return ray.get(tally, timeout=LOOK_S)
        except GetTimeoutError:
            if time.monotonic() > deadline:
                raise


def _drain(worker: Call[None], ledger: LedgerHandle) -> None:
    """Waits for the images in progress, at most DRAIN_S, and not if Ray is gone."""
    deadline = time.monotonic() + DRAIN_S
    with suppress(RayError):
        ray.get(ledger.stop.remote(), timeout=ANSWER_S)
        while (left_s := deadline - time.monotonic()) > 0 and not _is_over(worker):
            ray.get(ledger.is_stopping.remote(), timeout=min(ANSWER_S, left_s))


def _abandon(worker: Call[None], executors_before: Collection[Any]) -> None:
    """Ends what still runs: a thread that uses Ray after its shutdown would end the whole process."""

    def end() -> None:
        for executor in executors():
            if executor not in executors_before:
                end_executor(executor)
        worker.join()

    if worker.is_alive():
        in_the_time_left(end, ABANDON_S)


def own_error(fault: BaseException) -> SamLabelError:
    """Our own error that Ray has wrapped, or a new one with the last line of Ray's."""
    cause: BaseException | None = fault
    while cause is not None:
        inner = getattr(cause, "cause", None) or cause.__cause__ or cause.__context__
        if isinstance(cause, SamLabelError) and not isinstance(inner, SamLabelError):
            cause.args = (str(cause).partition("\nFailed to ")[0],)  # Ray Data appends advice after that
            return cause
        cause = inner
    return SamLabelError(f"labelling stopped: {_why(fault)}; {GO_ON}")


def _why(fault: BaseException) -> str:
    text = str(fault)
    if USER_CODE_ERROR in text:  # of Ray Data, which appends advice for Ray's users to what was raised
        text = text.rpartition("\n\nThe above exception")[0]
    return last_line(text) or type(fault).__name__


def _is_over(worker: Call[None]) -> bool:
    worker.join(TICK_S)
    return not worker.is_alive()
