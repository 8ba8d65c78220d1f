"""Two real object stores on loopback, each a process of its own: SeaweedFS and moto."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import boto3

WEED = Path(sys.executable).with_name("weed")
KEY, SECRET = "test-key", "test-secret"  # of servers that live as long as their test
READY_S = 60


def login_at(endpoint: str) -> dict[str, str]:
    """The environment that leads clients to the server at the endpoint."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def new_bucket() -> str:
    """s3://bucket, made at the server that the environment leads to."""
    bucket = f"test-{uuid.uuid4().hex[:12]}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    return f"s3://{bucket}"


@contextmanager
def seaweedfs_server(folder: Path) -> Iterator[str]:
    """The endpoint of a SeaweedFS server that keeps its objects in `folder`."""
    users = folder / "s3.json"
    login = {"accessKey": KEY, "secretKey": SECRET}
    users.write_text(
        json.dumps({"identities": [{"name": "test", "credentials": [login], "actions": ["Admin"]}]})
    )
    names = ("master", "volume", "filer", "s3")
    ports = dict(zip([*names, *(f"{name}.grpc" for name in names)], _free_ports(8), strict=True))
    command = [str(WEED), "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3"]
    command += [f"-{name}.port={ports[name]}" for name in names]
    command += [f"-{name}.port.grpc={ports[f'{name}.grpc']}" for name in names]
    command += [
        "-master.volumeSizeLimitMB=64",
        "-volume.max=1000",
        f"-s3.config={users}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-s3.autoCreateBucket=false",
        "-s3.iam=false",
        "-master.telemetry=false",
    ]
    command += [f"-filer.localSocket={folder}/filer.sock", f"-s3.localSocket={folder}/s3.sock"]
    endpoint = f"http://127.0.0.1:{ports['s3']}"
    with _server(command, folder / "log.txt"), _accepting(endpoint, folder / "log.txt"):
        yield endpoint
    for name in names:  # a killed server leaves these behind
        Path(tempfile.gettempdir(), f"seaweedfs-{name}-grpc-{ports[f'{name}.grpc']}.sock").unlink(
            missing_ok=True
        )


@contextmanager
def moto_server(folder: Path) -> Iterator[str]:
    """The endpoint of a moto server, which keeps its objects in memory; `folder` takes its log."""
    (port,) = _free_ports(1)
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    endpoint = f"http://127.0.0.1:{port}"
    with _server(command, folder / "log.txt"), _accepting(endpoint, folder / "log.txt"):
        yield endpoint


@contextmanager
def _server(command: list[str], log: Path) -> Iterator[None]:
    """The server's process, in a group of its own that is ended at the end of the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    try:
        yield
    finally:
        os.killpg(
            process.pid, signal.SIGKILL
        )  # its data dies with the session: no need to wait for an orderly end
        process.wait()


@contextmanager
def _accepting(endpoint: str, log: Path) -> Iterator[None]:
    """Enters once the server answers S3 requests, to refuse them or not."""
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
            client.create_bucket(Bucket="ready")
            client.put_object(Bucket="ready", Key="probe", Body=b"x")
            break
        except Exception as fault:  # whatever a server says that is still starting
            if time.monotonic() > deadline:
                raise RuntimeError(f"no answer from {endpoint}: {log.read_text()[-2000:]}") from fault
            time.sleep(0.1)
    yield


def _free_ports(count: int) -> list[int]:
    with ExitStack() as open_sockets:
        sockets = [open_sockets.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
