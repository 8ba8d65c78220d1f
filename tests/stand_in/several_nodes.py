"""A Ray cluster of several nodes in one machine, whose workers and nodes can be killed.

The head has no CPUs: it is the machine that the cluster's owner keeps alive. The others have two each, which
is what a labeler takes.
"""

from random import Random
from typing import Any

from processes import descendants, kill, title
from ray.cluster_utils import Cluster

CPUS_A_NODE = 2
OBJECT_STORE_BYTES = 100 << 20
# A dead node is noticed in seconds instead of half a minute, so that a test can afford many.
SEEN_DEAD_SOON = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 5000,
    "health_check_failure_threshold": 3,
}


class SeveralNodes:
    """A cluster, up until `close`; drivers in other processes join it at `address`."""

    def __init__(self, nodes: int = 2) -> None:
        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 0,
                "object_store_memory": OBJECT_STORE_BYTES,
                "include_dashboard": False,
                "_system_config": SEEN_DEAD_SOON,
            },
        )
        self._nodes = [self._new_node() for _ in range(nodes)]

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def kill_worker(self, rng: Random) -> bool:
        """Whether a worker was there to be killed: every other time a labeler, else any worker."""
        titles = {pid: title(pid) for pid in self._processes()}
        labelers = [pid for pid, name in titles.items() if "Labeler" in name]
        workers = [pid for pid, name in titles.items() if _is_worker(name)]
        among = labelers if labelers and rng.random() < 0.5 else workers
        return bool(among) and kill([rng.choice(among)]) == 1

    def kill_node(self, rng: Random) -> None:
        """Kills every process of a node at once, and puts a new node in its place."""
        node = self._nodes.pop(rng.randrange(len(self._nodes)))
        roots = _roots(node)
        kill([*roots, *descendants(roots)])
        self._cluster.remove_node(node, allow_graceful=False)
        self._nodes.append(self._new_node())

    def kill_head(self) -> None:
        """Kills every process of the head node; the cluster is lost with it."""
        roots = _roots(self._cluster.head_node)
        kill([*roots, *descendants(roots)])

    def close(self) -> None:
        for node in [*self._nodes, self._cluster.head_node]:  # at once: nothing here is worth an orderly end
            roots = _roots(node)
            kill([*roots, *descendants(roots)])
            self._cluster.remove_node(node, allow_graceful=False)
        self._cluster.shutdown()

    def _new_node(self) -> Any:
        return self._cluster.add_node(num_cpus=CPUS_A_NODE, object_store_memory=OBJECT_STORE_BYTES)

    def _processes(self) -> list[int]:
        nodes = [self._cluster.head_node, *self._nodes]
        return descendants([pid for node in nodes for pid in _roots(node)])


def _roots(node: Any) -> list[int]:
    return [info.process.pid for infos in node.all_processes.values() for info in infos]


def _is_worker(title: str) -> bool:
    # Ray's agents are called so too; they are a node's own, and it dies with them.
    return title.startswith("ray::") and "IDLE" not in title and "Agent" not in title
