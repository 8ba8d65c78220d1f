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

from pipeline.errors import Reason, StoreError

if TYPE_CHECKING:
    from pipeline.cluster.attempts import LedgerHandle

T = TypeVar("T")
CALLS_AT_ONCE = 8  # if no node reaches a store, all their tasks ask
# Why a store may fail on one node and not on another.
REASONS_OF_A_NODE = {
    Reason.SOURCE_UNAVAILABLE,
    Reason.FORBIDDEN,
    Reason.SOURCE_MISSING,  # of a folder that is not mounted
}


def lasting_here(actor: type, *, calls_at_once: int = 1) -> Callable[..., Any]:
    """What starts the actor on this node, where it reserves no CPU.

    If it dies, Ray restarts it and repeats its calls.
    """
    options: Mapping[str, Any] = {
        "num_cpus": 0,
        "scheduling_strategy": NodeAffinitySchedulingStrategy(_this_node(), soft=False),
        "max_restarts": -1,
        "max_task_retries": -1,
        "max_concurrency": calls_at_once,
    }
    starter: Callable[..., Any] = ray.remote(actor).options(**options).remote
    return starter


class Worker:
    """An actor on the driver's node."""

    def do(self, work: Callable[[], T]) -> T | StoreError:
        """The result of `work`, or why a store failed."""
        try:
            return work()
        except StoreError as fault:
            return fault


@dataclass(frozen=True)
class DriverNode:
    """The driver's node, for tasks on any node."""

    ledger: "LedgerHandle"
    node_id: str

    @classmethod
    def here(cls, ledger: "LedgerHandle") -> "DriverNode":
        """For the driver itself."""
        return cls(ledger, _this_node())

    @property
    def is_this(self) -> bool:
        return self.node_id == _this_node()

    def done(self, work: Callable[[], T]) -> T:
        """The result of `work`, which is done there. Raises: StoreError."""
        while True:
            worker = ray.get(self.ledger.worker_on_its_node.remote())
            try:
                outcome: T | StoreError = ray.get(worker.do.remote(work))
            except RayActorError:  # Ray has restarted the ledger, whose worker ended with it
                continue
            if isinstance(outcome, StoreError):
                raise outcome
            return outcome

    def warn(self, why: str) -> None:
        """Says that this node does not reach a store, while the driver's node does."""
        self.ledger.warn_of_node.remote(socket.gethostname(), why)

    def done_here_or_there(self, work: Callable[[], T]) -> T:
        """The result of `work`, done here if the stores allow it. Raises: StoreError of the driver's node."""
        try:
            return work()
        except StoreError as fault:
            if self.is_this or fault.reason not in REASONS_OF_A_NODE:
                raise
            result = self.done(work)
            self.warn(str(fault))
            return result


def _this_node() -> str:
    node: str = ray.get_runtime_context().get_node_id()
    return node
