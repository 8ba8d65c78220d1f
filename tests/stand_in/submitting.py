"""The commands around a job server, one after the other; what each printed follows `::` and its exit code."""

import io
import os
import secrets
from contextlib import redirect_stderr, redirect_stdout

from jobs.cli import main
from jobs.submission.runtime_environment import runtime_environment
from pipeline.cluster.job_server import JobServer
from pipeline.cluster.ray_internals import forget_token

# Longer than Ray gives a job by itself.
ENDS_IN_FIVE_SECONDS = "trap 'sleep 5; echo ended in order; exit' TERM; while :; do sleep 0.1; done"


def everything(address: str, job_file: str) -> None:
    """For tests/integration/test_cluster_token.py, in the process that has the cluster."""
    at = ("--address", address)
    with runtime_environment(None, preinstalled=True) as installed:
        long_one = JobServer(address).submit(ENDS_IN_FIVE_SECONDS, installed, {})
    _printed("submit", job_file, "--var", "DATE=2026-11-01", "--preinstalled", "--follow", *at)
    _printed("jobs", "list", "--json", *at)
    _printed("jobs", "status", "nope", *at)
    _printed("jobs", "stop", long_one, *at)
    _printed("jobs", "logs", long_one, "--follow", *at)
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    forget_token()
    _printed("jobs", "list", *at)
    del os.environ["RAY_AUTH_TOKEN"]
    forget_token()


def _printed(*words: str) -> None:
    """Runs the command, and prints its exit code and what it wrote."""
    written, code = io.StringIO(), None
    with redirect_stdout(written), redirect_stderr(written):
        try:
            main(list(words))
        except SystemExit as end:
            code = end.code
    print("::", code, written.getvalue())
