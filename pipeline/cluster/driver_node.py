"""The driver's node does what a store refuses to another node.

A node of a cluster may have no route to a store, no credentials for it, or no mount of a shared folder. The
driver's node reaches input and output, or the run would not have begun. So a task whose node fails there asks
a worker on the driver's node, which the ledger starts for the first of them.
"""

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import ray
from ray.exceptions import RayActorError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.cluster.worker_log import ToLedger
from pipeline.errors import GO_ON, OutputLocked, Reason, SamLabelError, StoreError
from pipeline.program_log import logged_by

if TYPE_CHECKING:
    from pipeline.cluster.attempts import LedgerHandle

T = TypeVar("T")
CALLS_AT_ONCE = 8  # if no node reaches a store, all their tasks ask
REPEATS = 2  # of a call whose worker died, perhaps of another call
TIMES = 3  # that a worker is asked for: the ledger may die in between
# Why a store may fail on one node and not on another.
REASONS_OF_A_NODE = {
    Reason.SOURCE_UNAVAILABLE,
    Reason.FORBIDDEN,
    Reason.SOURCE_MISSING,  # of a folder that is not mounted
}
ANOTHER_FOLDER = "the folder in the output's place is another run's"  # why a node takes it for overtaken


def lasting_here(actor: type, *, calls_at_once: int = 1, repeats: int = -1) -> Callable[..., Any]:
    """What starts the actor on this node, where it reserves no CPU.

    If it dies, Ray restarts it and repeats its calls, each at most `repeats` times; -1 is for ever.
    """
    options: Mapping[str, Any] = {
        "num_cpus": 0,
        "scheduling_strategy": NodeAffinitySchedulingStrategy(_this_node(), soft=False),
        "max_restarts": -1,
        "max_task_retries": repeats,
        "max_concurrency": calls_at_once,
    }
    starter: Callable[..., Any] = ray.remote(actor).options(**options).remote
    return starter


class Worker:
    """An actor on the driver's node, whose log goes to the ledger."""

    def __init__(self, ledger: "LedgerHandle", level: int) -> None:
        self._logged = logged_by(ToLedger(ledger), level)
        self._logged.__enter__()  # until this process ends

    def do(self, work: Callable[[], T]) -> T | SamLabelError:
        """The result of `work`, or the fault that it ended with."""
        try:
            return work()
        except SamLabelError as fault:
            return fault


@dataclass(frozen=True)
class DriverNode:
    """The driver's node, for tasks on any node; `level` is that of the driver's log."""

    ledger: "LedgerHandle"
    node_id: str
    level: int

    @classmethod
    def here(cls, ledger: "LedgerHandle", level: int) -> "DriverNode":
        """For the driver itself."""
        return cls(ledger, _this_node(), level)

    @property
    def is_this(self) -> bool:
        return self.node_id == _this_node()

    def done(self, work: Callable[[], T]) -> T:
        """The result of `work`, which is done there. Raises: SamLabelError, as `work` does."""
        for _ in range(TIMES):
            worker = ray.get(self.ledger.worker_on_its_node.remote(self.level))
            try:
                outcome: T | SamLabelError = ray.get(worker.do.remote(work))
            except RayActorError:  # it died too often, or Ray has restarted the ledger and it ended with it
                continue
            if isinstance(outcome, SamLabelError):
                raise outcome
            return outcome
        raise SamLabelError(
            "a worker on the driver's machine died again and again while it read or wrote for "
            f"{socket.gethostname()}, perhaps for lack of memory; {GO_ON}"
        )

    def warn(self, why: str) -> None:
        """Says that this node does not reach a store, while the driver's node does."""
        self.ledger.warn_of_node.remote(socket.gethostname(), why)

    def done_here_or_there(self, work: Callable[[], T]) -> T:
        """The result of `work`, done here if the stores allow it.

        A node whose own folder is in the output's place may also take the run for overtaken.
        Raises: SamLabelError of the driver's node.
        """
        try:
            return work()
        except (StoreError, OutputLocked) as fault:
            is_of_the_node = isinstance(fault, OutputLocked) or fault.reason in REASONS_OF_A_NODE
            if self.is_this or not is_of_the_node:
                raise
            result = self.done(work)
            self.warn(ANOTHER_FOLDER if isinstance(fault, OutputLocked) else str(fault))
            return result


def _this_node() -> str:
    node: str = ray.get_runtime_context().get_node_id()
    return node
