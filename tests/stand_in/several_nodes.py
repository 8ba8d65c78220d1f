"""A Ray cluster of several nodes on one machine, whose workers and nodes can be killed.

The head has no CPUs: it is the machine that the cluster's owner keeps alive. By default the other nodes have
two each, as many as a labeler needs. GPUs need not exist: Ray counts what it is told.
"""

import json
import signal
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from processes import descendants, kill, title
from ray.autoscaler._private.constants import AUTOSCALER_RESOURCE_REQUEST_CHANNEL
from ray.cluster_utils import Cluster

TWO_CPUS = {"num_cpus": 2}
OBJECT_STORE_BYTES = 80 << 20
# A dead node is noticed in seconds instead of half a minute, so that a test can afford many.
SEEN_DEAD_SOON = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 5000,
    "health_check_failure_threshold": 3,
}


class SeveralNodes:
    """A cluster that runs until `close`; drivers in other processes join it at `address`."""

    def __init__(self, nodes: Sequence[Mapping[str, Any]] = (TWO_CPUS, TWO_CPUS)) -> None:
        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 0,
                "object_store_memory": OBJECT_STORE_BYTES,
                "include_dashboard": False,
                "dashboard_agent_listen_port": 0,
                "_system_config": SEEN_DEAD_SOON,
            },
        )
        self.nodes: list[Any] = []  # besides the head
        for resources in nodes:
            self.join(resources)

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def kill_worker(self, rng: Random) -> bool:
        """Kills a worker: half of the time a labeler, else any worker. False if there was none."""
        titles = {pid: title(pid) for pid in self._processes()}
        labelers = [pid for pid, name in titles.items() if "Labeler" in name]
        workers = [pid for pid, name in titles.items() if _is_worker(name)]
        among = labelers if labelers and rng.random() < 0.5 else workers
        return bool(among) and kill([rng.choice(among)]) == 1

    def kill_node(self, rng: Random) -> None:
        """Kills every process of a node at once and replaces the node by a new one."""
        self._lose(self.nodes.pop(rng.randrange(len(self.nodes))))
        self.join()

    def join(self, resources: Mapping[str, Any] = TWO_CPUS) -> Any:
        """A new node, with what `ray.init` calls num_cpus, num_gpus, resources, object_store_memory."""
        node = self._cluster.add_node(
            dashboard_agent_listen_port=0, **{"object_store_memory": OBJECT_STORE_BYTES} | dict(resources)
        )
        self.nodes.append(node)
        return node

    def leave(self, node: Any) -> None:
        """Kills every process of the node at once, without a replacement."""
        self.nodes.remove(node)
        self._lose(node)

    def gpus_asked_for(self) -> int:
        """How many GPUs an autoscaled cluster should have, as its autoscaler reads the request."""
        client = self._cluster.head_node.get_gcs_client()
        asked = client.internal_kv_get(AUTOSCALER_RESOURCE_REQUEST_CHANNEL, None)
        return int(sum(bundle.get("GPU", 0) for bundle in json.loads(asked or b"[]")))

    def kill_head(self) -> None:
        """Kills every process of the head node; the cluster is lost with it."""
        roots = _roots(self._cluster.head_node)
        kill([*roots, *descendants(roots)])

    def kill_control(self) -> None:
        """Kills the process that controls the cluster; the head node's others live."""
        self._control().kill()

    def stop_control(self) -> None:
        """Stops that process: it accepts connections and answers nothing."""
        self._control().send_signal(signal.SIGSTOP)

    def _control(self) -> Any:
        (control,) = self._cluster.head_node.all_processes["gcs_server"]
        return control.process

    def close(self) -> None:
        for node in [*self.nodes, self._cluster.head_node]:  # killed: nothing here needs an orderly shutdown
            self._lose(node)
        self._cluster.shutdown()

    def _lose(self, node: Any) -> None:
        roots = _roots(node)
        kill([*roots, *descendants(roots)])
        self._cluster.remove_node(node, allow_graceful=False)

    def _processes(self) -> list[int]:
        nodes = [self._cluster.head_node, *self.nodes]
        return descendants([pid for node in nodes for pid in _roots(node)])


def _roots(node: Any) -> list[int]:
    return [info.process.pid for infos in node.all_processes.values() for info in infos]


def _is_worker(title: str) -> bool:
    # Ray's agents have such titles too, but belong to a node, which dies with them.
    return title.startswith("ray::") and "IDLE" not in title and "Agent" not in title
