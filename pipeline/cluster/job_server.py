"""Jobs on a Ray cluster, over its dashboard's HTTP, without joining the cluster.

Every call has a time limit, since Ray's client has none. The user's address is also set in the environment,
since the client would prefer RAY_ADDRESS to it. Whoever reaches a job server can run code on the cluster, so
a server without token authentication is refused unless it listens on this machine.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import metadata
from typing import Any, TypeVar
from urllib.parse import urlsplit

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient

from pipeline.cluster.address import refuse_unauthenticated
from pipeline.cluster.quiet import environment
from pipeline.cluster.ray_internals import CLIENT_LOGGERS, versions_of_server
from pipeline.errors import SamLabelError, UsageError
from pipeline.shutdown import answer
from pipeline.store.uri import redacted

T = TypeVar("T")
ANSWER_S = 30.0  # for a call with little data
UPLOAD_S = 600.0  # a wheel of 20 MB over a slow line
SILENCE_S = 120.0  # without log output; then we connect again, since a dead machine sends nothing
LOST_S = 60.0  # without a server before a follower gives up; the job itself goes on
CONNECT_AGAIN_S = 2.0
AGENT_S = 60.0  # for the first node's agent to come up
NO_AGENT = "No available agent"  # part of the server's answer
DASHBOARD_PORT = 8265
AGENT_PORT = 52365  # Ray's default; an agent that cannot bind it never registers
ENDED = ("SUCCEEDED", "FAILED", "STOPPED")


@dataclass(frozen=True)
class ClusterJob:
    """A job as its cluster knows it; `exit_code` is its command's, None if it runs or never began."""

    id: str
    status: str  # PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED
    command: str
    message: str
    exit_code: int | None
    started_at: str | None
    ended_at: str | None

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED


class JobServer:
    """The job server at an address. Raises: UsageError, SamLabelError if it does not answer."""

    def __init__(self, address: str, allow_unauthenticated: bool = False) -> None:
        for name in CLIENT_LOGGERS:
            logging.getLogger(name).setLevel(logging.ERROR)
        self.url = job_server_url(address)
        if not allow_unauthenticated:
            remedy = "allow_unauthenticated_cluster = true in the job file"
            refuse_unauthenticated(urlsplit(self.url).hostname, "a job", self.url, remedy)
        with environment({"RAY_API_SERVER_ADDRESS": self.url}):
            self._client = self._bounded(lambda: JobSubmissionClient(self.url))
        versions = self._bounded(lambda: versions_of_server(self._client))
        if versions is not None:
            _refuse_other_versions(self.url, *versions)

    def submit(self, command: str, runtime_env: Mapping[str, Any], metadata: Mapping[str, str]) -> str:
        """The id of a new job that runs the command in a shell on the cluster.

        A cluster that has just started accepts jobs only after some seconds: we retry for AGENT_S.
        """
        deadline = time.monotonic() + AGENT_S
        while True:
            try:
                return str(self._bounded(lambda: self._submitted(command, runtime_env, metadata), UPLOAD_S))
            except SamLabelError as refused:
                if NO_AGENT not in str(refused):
                    raise
                if time.monotonic() > deadline:
                    raise SamLabelError(
                        f"the cluster at {self.url} accepts no jobs: its agent is not running, perhaps "
                        f"because another Ray there uses its port ({AGENT_PORT}); start the head with "
                        "--dashboard-agent-listen-port set to a free one"
                    ) from refused
            time.sleep(CONNECT_AGAIN_S)

    def _submitted(self, command: str, runtime_env: Mapping[str, Any], metadata: Mapping[str, str]) -> Any:
        return self._client.submit_job(
            entrypoint=command, runtime_env=dict(runtime_env), metadata=dict(metadata)
        )

    def job(self, job_id: str) -> ClusterJob:
        """The job of that id. Raises: UsageError if there is none."""
        return _cluster_job(self._bounded(lambda: self._client.get_job_info(job_id), job_id=job_id))

    def jobs(self) -> list[ClusterJob]:
        """Every submitted job that the cluster remembers, the newest first."""
        known = self._bounded(self._client.list_jobs)
        submitted = [_cluster_job(job) for job in known if job.submission_id]
        return sorted(submitted, key=lambda job: job.started_at or "", reverse=True)

    def stop(self, job_id: str) -> bool:
        """Whether the job was running; it then gets SIGTERM, and commits what it has done."""
        return bool(self._bounded(lambda: self._client.stop_job(job_id), job_id=job_id))

    def log(self, job_id: str) -> str:
        """What the job has written so far."""
        return str(self._bounded(lambda: self._client.get_job_logs(job_id), job_id=job_id))

    def follow(self, job_id: str, write: Callable[[str], object]) -> ClusterJob:
        """The job once it has ended; what it writes goes to `write` as it comes.

        A broken connection is made again, and nothing is written twice.
        """
        written = 0
        while True:
            written = asyncio.run(self._write_log(job_id, write, written))
            job = self._job_in_time(job_id)
            if job.has_ended:
                write(self.log(job_id)[written:])
                return job

    async def _write_log(self, job_id: str, write: Callable[[str], object], written: int) -> int:
        """The characters written until the job ended, or the connection broke or stayed silent."""
        seen, clock = 0, asyncio.get_running_loop().time
        try:
            async with asyncio.timeout_at(clock() + SILENCE_S) as silence:
                async for text in self._client.tail_job_logs(job_id):
                    silence.reschedule(clock() + SILENCE_S)
                    new = text[max(0, written - seen) :]
                    seen += len(text)
                    written += len(new)
                    write(new)
        except (OSError, RuntimeError):  # aiohttp's are OSErrors; the caller asks for the job next
            await asyncio.sleep(CONNECT_AGAIN_S)
        return written

    def _job_in_time(self, job_id: str) -> ClusterJob:
        """The job, once the server can be reached again. Raises: as `job`, after LOST_S."""
        deadline = time.monotonic() + LOST_S
        while True:
            try:
                return self.job(job_id)
            except UsageError:
                raise
            except SamLabelError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(CONNECT_AGAIN_S)

    def _bounded(self, call: Callable[[], T], limit_s: float | None = None, job_id: str = "") -> T:
        try:
            return answer(call, limit_s or ANSWER_S, f"the job server at {self.url}")
        except AuthenticationError as refused:
            raise UsageError(
                f"the Ray cluster at {self.url} requires its token; set RAY_AUTH_MODE=token and "
                "RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH) to the cluster's"
            ) from refused
        except OSError as fault:  # every fault of the connection, including those of `requests`
            raise SamLabelError(
                f"no job server answered at {self.url}; start the cluster, or correct --address: it must be "
                f"the dashboard's, such as http://HOST:{DASHBOARD_PORT}"
            ) from fault
        except RuntimeError as fault:
            if job_id and "status code 404" in str(fault):
                raise UsageError(
                    f"there is no job {job_id} at {self.url}; `sam-label jobs list` lists the jobs"
                ) from fault
            raise SamLabelError(f"the job server at {self.url} refused: {_first_line(fault)}") from fault


def job_server_url(address: str) -> str:
    """The address with its scheme. Raises: UsageError if it is no such address or has a user name."""
    url = address if "://" in address else f"http://{address}"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if host is None or parts.scheme not in ("http", "https") or parts.username is not None:
        raise UsageError(
            f"{redacted(address)} is not the address of a job server; give the dashboard's, such as "
            f"http://HOST:{DASHBOARD_PORT}"
        )
    return url.rstrip("/")


def _refuse_other_versions(url: str, ray: str, python: str) -> None:
    """Raises UsageError if sam-label's package does not support the cluster's versions."""
    package = metadata("sam-label")
    needs_ray = next(
        needed.specifier
        for needed in map(Requirement, package.get_all("Requires-Dist") or ())
        if needed.name == "ray"
    )
    needs_python = SpecifierSet(package["Requires-Python"])
    if not needs_ray.contains(ray, prereleases=True) or not needs_python.contains(python, prereleases=True):
        raise UsageError(
            f"the cluster at {url} has Ray {ray} and Python {python}, but sam-label needs Ray {needs_ray} "
            f"and Python {needs_python}; use a cluster with these versions"
        )


def _cluster_job(details: Any) -> ClusterJob:
    return ClusterJob(
        id=str(details.submission_id),
        status=str(getattr(details.status, "value", details.status)),
        command=details.entrypoint,
        message=_first_line(details.message or ""),
        exit_code=details.driver_exit_code,
        started_at=_time(details.start_time),
        ended_at=_time(details.end_time),
    )


def _time(milliseconds: int | None) -> str | None:
    return (
        datetime.fromtimestamp(milliseconds / 1e3, UTC).isoformat(timespec="seconds")
        if milliseconds
        else None
    )


def _first_line(message: object) -> str:
    return next(iter(str(message).strip().splitlines()), "")
