"""What a run says about its cluster: no labeler starts, no image is finished, a node has left."""

import logging
import math
import time
from dataclasses import dataclass, field
from typing import Any

import ray

from pipeline.cluster.attempts import Tally
from pipeline.cluster.head import GONE_AFTER_S
from pipeline.errors import GO_ON, ClusterLost
from pipeline.shutdown import Call

NO_LABELER_S = 60.0  # a slow machine starts a labeler in half of that
STILL_S = 600.0  # few images take that long, and Ray notices a lost node after a minute
LOOK_S = 2.0  # between two looks
END_S = 0.5  # for a look to end, which takes milliseconds
IN_ORDER = {1, 4}  # Ray's EXPECTED_TERMINATION and AUTOSCALER_DRAIN_IDLE: why a node has ended

_log = logging.getLogger("sam_label.cluster")


class ClusterWatch:
    """All that a run watches in its cluster, in a thread, since a head that hangs answers nothing."""

    def __init__(self) -> None:
        self._watched = (FullCluster(), Standstill(), Nodes())
        self._looking: Call[None] | None = None
        self._began_s = -LOOK_S

    def look(self, tally: Tally) -> None:
        """Looks every LOOK_S, and does not wait for the answers.

        Raises: ClusterLost if the last look has not ended for GONE_AFTER_S.
        """
        now_s = time.monotonic()
        if self._looking is not None and self._looking.is_alive():
            if now_s - self._began_s > GONE_AFTER_S:
                raise ClusterLost(f"Ray was lost: the head of the cluster hangs; {GO_ON}")
            return
        if now_s - self._began_s < LOOK_S:
            return
        if self._looking is not None and self._looking.fault is not None:
            _log.debug("a look at the cluster failed: %s", self._looking.fault)
        self._began_s = now_s
        self._looking = Call(lambda: self._look(tally), "sam-label watch")
        self._looking.start()

    def end(self) -> None:
        """Leaves a look behind that hangs."""
        if self._looking is not None:
            self._looking.wait(END_S)
            if self._looking.is_alive():
                self._looking.leave_behind()

    def _look(self, tally: Tally) -> None:
        for watched in self._watched:
            watched.look(tally)


@dataclass
class FullCluster:
    """Warns once if no labeler has started: other jobs may hold the CPUs and GPUs for hours."""

    due_s: float = field(default_factory=lambda: time.monotonic() + NO_LABELER_S)

    def look(self, tally: Tally) -> None:
        if tally.has_labelers or time.monotonic() < self.due_s:
            return
        free: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
        there: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        self.due_s = math.inf
        kinds = [
            f"{free.get(kind, 0):g} of {there[kind]:g} {kind}s" for kind in ("CPU", "GPU") if kind in there
        ]
        _log.warning(
            "no labeler has started in %g s: the cluster has only %s free; the run waits for room",
            NO_LABELER_S,
            " and ".join(kinds),
        )


@dataclass
class Standstill:
    """Warns once whenever no image was finished for `still_s`.

    If nodes cannot reach each other, Ray waits and says nothing.
    """

    still_s: float = STILL_S
    ended: int = -1  # images, when it last looked
    due_s: float = math.inf

    def look(self, tally: Tally) -> None:
        ended, now_s = tally.labelled + tally.failed, time.monotonic()
        if ended != self.ended and tally.has_labelers:
            self.ended, self.due_s = ended, now_s + self.still_s
        elif now_s >= self.due_s:
            nodes = ray.nodes()  # type: ignore[no-untyped-call]
            self.due_s = math.inf
            _log.warning(
                "no image was finished in the last %g min; %d of %d nodes of the cluster are alive; unless "
                "images take so long, nodes may not reach each other or the store",
                self.still_s / 60,
                sum(node["Alive"] for node in nodes),
                len(nodes),
            )


@dataclass
class Nodes:
    """Names each node that leaves the cluster."""

    alive: frozenset[str] = frozenset()  # ids, when it last looked

    def look(self, _: Tally) -> None:
        nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
        before, self.alive = self.alive, frozenset(node["NodeID"] for node in nodes if node["Alive"])
        for node in nodes:
            if node["NodeID"] in before - self.alive:
                _log.log(
                    logging.INFO if node["DeathReason"] in IN_ORDER else logging.WARNING,
                    "node %s (%s) has left the cluster: %s; %d of its nodes are up, and label what it had",
                    node["NodeManagerHostname"],
                    node["NodeManagerAddress"],
                    node["DeathReasonMessage"] or "Ray gives no reason",
                    len(self.alive),
                )
