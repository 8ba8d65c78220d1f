"""Runs the commands for a job server one after another; prints `::`, the exit code and the output of each."""

import io
import os
import secrets
import signal
import socket
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from threading import Thread

from jobs.cli import main
from jobs.submission.runtime_environment import runtime_environment
from pipeline.cluster.job_server import JobServer
from pipeline.cluster.ray_internals import forget_token

# Longer than Ray's default time for a job to end.
ENDS_IN_FIVE_SECONDS = "trap 'sleep 5; echo ended in order; exit' TERM; while :; do sleep 0.1; done"


def everything(address: str, job_file: str) -> None:
    """For tests/integration/test_cluster_token.py, in the process that started the cluster."""
    at = ("--address", address)
    with runtime_environment(None, preinstalled=True) as installed:
        long_one = JobServer(address).submit(ENDS_IN_FIVE_SECONDS, installed, {})
    _printed("submit", job_file, "--var", "DATE=2026-11-01", "--preinstalled", "--follow", *at)
    _printed("jobs", "list", "--json", *at)
    _printed("jobs", "status", "nope", *at)
    _printed("jobs", "stop", long_one, *at)
    _printed("jobs", "logs", long_one, "--follow", *at)
    _followed_until_sigterm(*at)
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    forget_token()
    _printed("jobs", "list", *at)
    del os.environ["RAY_AUTH_TOKEN"]
    forget_token()


def _followed_until_sigterm(*at: str) -> None:
    """Follows a run that waits for a store which never answers; then SIGTERM ends the follower."""
    with socket.create_server(("127.0.0.1", 0)) as store, tempfile.TemporaryDirectory() as folder:

        def end_when_asked() -> None:
            store.accept()
            os.kill(os.getpid(), signal.SIGTERM)

        Thread(target=end_when_asked, daemon=True).start()
        job = Path(folder, "job.toml")
        endpoint = f"[storage]\nendpoint_url = 'http://127.0.0.1:{store.getsockname()[1]}'\n"
        job.write_text(f"input = 's3://photos'\noutput = '{folder}/masks'\nanonymous = true\n{endpoint}")
        _printed("submit", str(job), "--preinstalled", "--follow", "--stop-on-term", *at)


def _printed(*words: str) -> None:
    """Runs the command and prints its exit code and output."""
    written, code = io.StringIO(), None
    with redirect_stdout(written), redirect_stderr(written):
        try:
            main(list(words))
        except SystemExit as end:
            code = end.code
    print("::", code, written.getvalue())
