"""`sam-label submit` hands a run to a Ray cluster's job server; `sam-label jobs` shows what became of it."""

import json
import shlex
import sys
import threading
import time
from contextlib import nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.arguments import Json, JsonList
from jobs.options.command_options import Var
from jobs.options.short_help import ShortHelp, ShortHelpGroup
from jobs.submission.command_words import refuse_relative, run_words
from jobs.submission.parsed import config_of
from jobs.submission.runtime_environment import runtime_environment
from pipeline.config import RunConfig
from pipeline.errors import Interrupted, SamLabelError, UsageError
from pipeline.signals import sigterm_noted
from pipeline.store.uri import redacted
from sam_core import __version__

if TYPE_CHECKING:
    from pipeline.cluster.job_server import ClusterJob, JobServer

STOPPED = 130  # as a run that SIGTERM ended
NOT_FOUND = 127  # a shell's exit code for a command that is not there
STOP_AGAIN_S = 2.0  # between requests to a server that does not answer, until the follower ends

submitted = typer.Typer(
    cls=ShortHelpGroup, help="List, follow and stop what was submitted to a cluster.", no_args_is_help=True
)

JobFile = Annotated[str, typer.Argument(metavar="JOB", help="Job file (TOML).")]
RunOptions = Annotated[
    list[str] | None,
    typer.Argument(metavar="[-- OPTIONS]", help="Options of `run`; they override the file."),
]
Address = Annotated[
    str,
    typer.Option(
        "--address",
        metavar="URL",
        envvar="RAY_API_SERVER_ADDRESS",
        show_envvar=False,
        help="The cluster's dashboard, such as http://HOST:8265. Default: RAY_API_SERVER_ADDRESS.",
    ),
]
Follow = Annotated[
    bool, typer.Option("--follow", help="Show its log until it ends, and end with its exit code.")
]
StopOnTerm = Annotated[
    bool,
    typer.Option(
        "--stop-on-term",
        help="With --follow: on SIGTERM, stop the job as `jobs stop` does and wait for its end.",
    ),
]
Image = Annotated[
    str | None, typer.Option("--image", help="Container image that the nodes run it in, instead of a wheel.")
]
Preinstalled = Annotated[
    bool, typer.Option("--preinstalled", help="Ship nothing: sam-label is installed on the cluster.")
]
Id = Annotated[str, typer.Argument(metavar="ID", help="What `submit` printed.")]


def submit(
    job: JobFile,
    address: Address,
    options: RunOptions = None,
    var: Var = None,
    follow: Follow = False,
    stop_on_term: StopOnTerm = False,
    image: Image = None,
    preinstalled: Preinstalled = False,
) -> int:
    """Run a job file on a Ray cluster, from any machine; prints the job's id.

    Variables are filled in and options are checked here, before anything is sent. The cluster installs the
    sam-label of this machine, unless --image or --preinstalled says otherwise.
    """
    if stop_on_term and not follow:
        raise UsageError(
            "--stop-on-term needs --follow, because nothing waits for the job without it; give both"
        )
    assignments = [word for assignment in var or () for word in ("--var", assignment)]
    config = config_of(RunConfig, ["--config", job, *assignments, *(options or ())])
    refuse_relative(config.model_dump(), "on a cluster")
    words = run_words(config)
    server = _server(address, config.allow_unauthenticated_cluster)
    metadata = {"sam_label": __version__, "output": redacted(config.output)}
    with sigterm_noted() if stop_on_term else nullcontext() as term:
        with runtime_environment(image, preinstalled) as environment:
            job_id = server.submit(shlex.join(words), environment, metadata)
        if not follow:
            print(job_id)
            print(f"next: sam-label jobs logs {job_id} --address {server.url} --follow", file=sys.stderr)
            return 0
        print(f"job {job_id}", file=sys.stderr)
        if term is not None:
            threading.Thread(target=_stop_at, args=(term, server, job_id), daemon=True).start()
        return _followed(server, job_id)


@submitted.command("list", cls=ShortHelp)
def list_jobs(address: Address, json_: JsonList = False) -> int:
    """List the jobs that the cluster remembers, the newest first."""
    known = _server(address).jobs()
    if json_:
        print(json.dumps([asdict(job) for job in known]))
        return 0
    for job in known:
        print(f"{job.id}  {job.status:9}  {job.started_at or '':25}  {redacted(job.command)}")
    if not known:
        print("no job yet; next: sam-label submit JOB --address URL", file=sys.stderr)
    return 0


@submitted.command(cls=ShortHelp)
def status(job_id: Id, address: Address, json_: Json = False) -> int:
    """Show a job's state, its exit code and its command."""
    job = _server(address).job(job_id)
    if json_:
        print(json.dumps(asdict(job)))
        return 0
    for name, value in asdict(job).items():
        if value not in (None, ""):
            lines = str(value).replace("\n", "\n  ")  # indented, so that none of them passes as a field
            print(f"{name.replace('_', ' ')}: {lines}")
    return 0


@submitted.command(cls=ShortHelp)
def logs(job_id: Id, address: Address, follow: Follow = False) -> int:
    """Print what a job has written; --follow goes on until it ends, and ends with its exit code."""
    server = _server(address)
    if follow:
        return _followed(server, job_id)
    print(server.log(job_id), end="")
    return 0


@submitted.command(cls=ShortHelp)
def stop(job_id: Id, address: Address) -> int:
    """Stop a job in order: what it has done is committed, and the same job, submitted again, goes on."""
    was_running = _server(address).stop(job_id)
    print("asked to stop" if was_running else "it had ended before")
    print(f"next: sam-label jobs status {job_id} --address {address}", file=sys.stderr)
    return 0


def _server(address: str, allow_unauthenticated: bool = True) -> "JobServer":
    """The job server. Only `submit` refuses one without authentication; to ask or to stop is harmless."""
    from pipeline.cluster.job_server import JobServer

    return JobServer(address, allow_unauthenticated)


def _stop_at(term: threading.Event, server: "JobServer", job_id: str) -> None:
    """Waits for the signal, then asks the server to stop the job, until it answers."""
    term.wait()
    while True:
        try:
            server.stop(job_id)
        except UsageError:  # it is not known any more
            return
        except SamLabelError as fault:
            print(f"sam-label: {fault}; asking again", file=sys.stderr)
            time.sleep(STOP_AGAIN_S)
        else:
            print(f"job {job_id} was asked to stop", file=sys.stderr)
            return


def _followed(server: "JobServer", job_id: str) -> int:
    """Shows the job's log until it ends, and returns its exit code."""

    def write(text: str) -> None:
        print(text, end="", flush=True)

    try:
        job = server.follow(job_id, write)
    except KeyboardInterrupt:
        raise Interrupted(
            f"the job continues; `sam-label jobs stop {job_id} --address {server.url}` stops it"
        ) from None
    return _exit_code(job, server.url)


def _exit_code(job: "ClusterJob", url: str) -> int:
    """The exit code of the job's own process. Raises: SamLabelError if it had none."""
    if job.status == "SUCCEEDED":
        return 0
    if job.status == "STOPPED":
        return STOPPED
    if job.exit_code is None:
        raise SamLabelError(f"job {job.id} at {url} failed before its command ended: {redacted(job.message)}")
    if job.exit_code == NOT_FOUND:
        print(f"sam-label: the cluster at {url} has no sam-label; leave --preinstalled out", file=sys.stderr)
    return job.exit_code if job.exit_code >= 0 else 128 - job.exit_code  # as a shell counts signals
