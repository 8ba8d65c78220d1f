"""The Ray that a run uses, and how many labelers fit there; both are decided before any work.

A local Ray is this run's own: reachable by token only, no dashboard, quiet. A cluster is joined by its
address. A cluster on the network without token authentication is refused: it runs code for whoever reaches
it.
"""

import os
import platform
import secrets
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress

import ray
from ray.autoscaler.sdk import request_resources

from pipeline.cluster.address import host_and_port, refuse_unauthenticated
from pipeline.cluster.labeler_pool import LabelerPool, cluster_pool, cores, labeler_pool
from pipeline.cluster.quiet import environment, native_stderr_hushed, quiet_ray
from pipeline.cluster.ray_internals import (
    forget_token,
    require_internals,
    running_address,
    versions_at,
)
from pipeline.cluster.start import local_pool, ray_at, unusable, wait_for_cluster
from pipeline.config import RunConfig
from pipeline.errors import SamLabelError, UsageError
from pipeline.shutdown import answer

GREETING_S = 1.0  # it comes with the connection
HTTP_2_SETTINGS = b"\x04"  # kind of the first frame, after three bytes of its length
HTTP_2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + HTTP_2_SETTINGS + bytes(5)  # RFC 9113
VERSIONS_S = 3.0  # a head answers in milliseconds
RESOURCES_S = 60.0  # for the head to count its CPUs and GPUs, which takes milliseconds


def refuse_what_does_not_fit(config: RunConfig) -> None:
    """Raises, before the output is locked, what would stop the run from beginning; starts nothing.

    Raises: UsageError if a local Ray could not hold what is asked for, or the cluster's address is wrong or
        unsafe; SamLabelError if the cluster does not answer in time, or Ray lacks what a run needs.
    """
    require_internals()
    if sys.flags.optimize > 1:
        raise UsageError(
            "Python runs with -OO or PYTHONOPTIMIZE=2, but Ray Data needs docstrings; run without it"
        )
    address = _address(config)
    if ray.is_initialized():
        return
    _refuse_unsafe(address, config.allow_unauthenticated_cluster)
    if address == "local":
        local_pool(config)
    else:
        wait_for_cluster(address, config.cluster_wait_s)
        _refuse_other_versions(address)


@contextmanager
def ray_session(config: RunConfig) -> Iterator[LabelerPool]:
    """The labelers that fit, and Ray ready for them for the duration.

    A Ray that the caller has started before is used and left as it is. Raises: UsageError; SamLabelError if
    Ray does not start or the cluster is not reached.
    """
    address = _address(config)
    _refuse_unsafe(address, config.allow_unauthenticated_cluster)
    if ray.is_initialized():
        with quiet_ray():
            yield cluster_pool(config, _nodes())
        return
    own_token = address == "local" and "RAY_AUTH_TOKEN" not in os.environ
    with quiet_ray(), _token_of_its_own() if own_token else nullcontext(), ray_at(address):
        if address == "local":
            (here,) = _nodes()
            yield labeler_pool(config, here, cores())
        else:
            yield _pool_in_time(config)


@contextmanager
def _token_of_its_own() -> Iterator[None]:
    """Inside the block a local Ray uses a new token, and writes none into the home folder.

    A cluster that is joined later gets the user's token again (RAY_AUTH_TOKEN_PATH, ~/.ray/auth_token).
    """
    try:
        with environment({"RAY_AUTH_TOKEN": secrets.token_hex(32)}):
            forget_token()
            yield
    finally:
        forget_token()


def _pool_in_time(config: RunConfig) -> LabelerPool:
    """The labelers that fit, as soon as one fits: nodes of a cluster come and go."""
    deadline = time.monotonic() + config.cluster_wait_s
    while True:
        try:
            return cluster_pool(config, _nodes())
        except UsageError:
            if time.monotonic() > deadline:
                raise
        # An autoscaling cluster may have no nodes yet. Ray Data's own request later replaces this one.
        request_resources(bundles=[{"CPU": 1, "GPU": 1} if config.device == "cuda" else {"CPU": 2}])
        time.sleep(1)


def _refuse_other_versions(address: str) -> None:
    """Raises UsageError for a cluster with another Ray or Python, which Ray does not join.

    If the head does not answer in time, the run joins it all the same: Ray asks again, and waits longer.
    """
    theirs: tuple[str, str] | None = None
    if not _speaks_http_2(address):
        return  # Ray's client would hang in a call to it
    with suppress(SamLabelError), native_stderr_hushed():
        theirs = answer(lambda: versions_at(address), VERSIONS_S, address)
    mine = (ray.__version__, platform.python_version())
    if theirs is not None and (theirs[0], _as_compared(theirs[1])) != (mine[0], _as_compared(mine[1])):
        raise UsageError(
            f"the cluster at {address} has Ray {theirs[0]} and Python {theirs[1]}, but this machine has Ray "
            f"{mine[0]} and Python {mine[1]}; use the same versions here, or send the job with `sam-label "
            "submit`"
        )


def _speaks_http_2(address: str) -> bool:
    """Whether the server at HOST:PORT speaks HTTP/2, as the head of a Ray cluster does (gRPC)."""
    with suppress(OSError), socket.create_connection(host_and_port(address), GREETING_S) as head:
        head.settimeout(GREETING_S)
        head.sendall(HTTP_2_PREFACE)
        return head.recv(4)[3:] == HTTP_2_SETTINGS
    return False


def _as_compared(python: str) -> str:
    """The part of Python's version that Ray compares: all of it, unless its own setting says otherwise."""
    level = os.environ.get("RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL", "patch")
    return python.rpartition(".")[0] if level == "minor" else python


def _nodes() -> list[Mapping[str, float]]:
    """The resources of each node that is up."""
    nodes = answer(ray.nodes, RESOURCES_S, "the head of the Ray cluster")
    return [node["Resources"] for node in nodes if node["Alive"]]


def _address(config: RunConfig) -> str:
    """The address of the Ray to use, "local" for a new one; `auto` is looked up, as Ray does."""
    address = config.address or os.environ.get("RAY_ADDRESS") or "local"
    if address != "auto":
        return address
    try:
        return running_address()
    except ConnectionError as fault:
        raise unusable(address, fault) from fault


def _refuse_unsafe(address: str, allowed: bool) -> None:
    if address.startswith("ray://"):
        raise UsageError(
            f"{address} is a Ray Client address, over which Ray Data does not run reliably; start "
            "sam-label on the cluster, for example with `ray job submit`"
        )
    if allowed:
        return
    if address == "local":
        if not ray.is_initialized() and os.environ.get("RAY_AUTH_MODE", "token").lower() != "token":
            raise UsageError(
                "RAY_AUTH_MODE is set to something other than token, and would open this run's own Ray to "
                "anyone who can reach this machine; unset it, or pass --allow-unauthenticated-cluster"
            )
        return
    host, _ = host_and_port(address)
    refuse_unauthenticated(host, "a run", address, "pass --allow-unauthenticated-cluster")
