"""Whether the cluster is still there: its head answers, and the processes of a local Ray live.

Nodes keep running for a while without it. After a minute Ray ends every driver process without a message, so
the run checks by itself, and ends with its own error before that.
"""

import socket
import time

from pipeline.cluster.address import host_and_port
from pipeline.cluster.ray_internals import local_processes
from pipeline.errors import GO_ON, ClusterLost

LOOK_EVERY_S = 5.0
CONNECT_S = 2.0
# A head that is restarted may come back. Ray itself waits 60 s (gcs_rpc_server_reconnect_timeout_s).
GONE_AFTER_S = 40.0
ESSENTIAL = ("raylet", "gcs_server")  # the processes without which a local Ray is lost


class Head:
    """The head at a GCS address, host:port."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._answered = self._looked = time.monotonic()

    def check(self) -> None:
        """Connects every LOOK_EVERY_S.

        Raises: ClusterLost if there was no answer for GONE_AFTER_S, or if a local Ray has lost a process.
        """
        exit_codes = local_processes()
        for name in ESSENTIAL:
            if exit_codes.get(name) is not None:
                raise ClusterLost(
                    f"Ray was lost: its process {name} on this machine has died, perhaps for lack of memory "
                    f"or of open files; {GO_ON}"
                )
        now = time.monotonic()
        if now - self._looked < LOOK_EVERY_S:
            return
        self._looked = now
        try:
            socket.create_connection(host_and_port(self._address), CONNECT_S).close()
            self._answered = now
        except OSError as fault:
            if now - self._answered > GONE_AFTER_S:
                raise ClusterLost(
                    f"Ray was lost: the head of the cluster at {self._address} does not answer; {GO_ON}"
                ) from fault
