"""Stores for tests, the environment that leads to them, and one Ray for the tests of a file.

`object_store` runs a test on both S3 servers, `any_store` also on the servers of the other clouds: on Azurite
if it is installed (`npm install -g azurite`). test_store_s3.py checks each store's promises; tests that only
depend on these promises use `one_store`.
"""

import shutil
import uuid
from collections.abc import Callable, Iterator

import pytest
import ray
from object_stores import (
    azurite_server,
    gcs_server,
    login_at,
    moto_server,
    new_bucket,
    seaweedfs_server,
)

from pipeline.store import azure_blobs, gcs, s3
from pipeline.store.settings import DEFAULT_ACCESS

AZURITE = ["azurite"] if shutil.which("azurite-blob") else []


@pytest.fixture(scope="module")
def one_ray() -> Iterator[None]:
    """A local Ray in this process, for all runs of a test file. Other files come before, and have none."""
    ray.init(
        address="local",
        # for a labeler and other work; each further CPU would be a worker that imports Ray Data
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=200 << 20,
        _system_config={"metrics_report_interval_ms": 1000},  # instead of ten seconds
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of a SeaweedFS server."""
    with seaweedfs_server(tmp_path_factory.mktemp("seaweedfs")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of a moto server."""
    with moto_server(tmp_path_factory.mktemp("moto")) as endpoint:
        yield endpoint


@pytest.fixture
def use_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """A function that makes a bucket at an endpoint, points the environment at it, returns s3://bucket."""

    def use(endpoint: str) -> str:
        for name, value in login_at(endpoint).items():
            monkeypatch.setenv(name, value)
        s3.client.cache_clear()  # a process has one client; the endpoint differs from test to test
        return new_bucket()

    yield use
    s3.client.cache_clear()


@pytest.fixture
def one_store(seaweedfs: str, use_store: Callable[[str], str]) -> str:
    """s3://bucket, a new bucket of SeaweedFS."""
    return use_store(seaweedfs)


@pytest.fixture(params=["seaweedfs", "moto"])
def object_store(request: pytest.FixtureRequest, use_store: Callable[[str], str]) -> str:
    """s3://bucket, a new bucket of each server in turn."""
    endpoint: str = request.getfixturevalue(request.param)
    return use_store(endpoint)


@pytest.fixture(scope="session")
def fake_gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of a fake-gcs-server."""
    with gcs_server(tmp_path_factory.mktemp("gcs")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The connection string of an Azurite."""
    with azurite_server(tmp_path_factory.mktemp("azurite")) as login:
        yield login


@pytest.fixture(params=["seaweedfs", "moto", "fake_gcs", *AZURITE])
def any_store(
    request: pytest.FixtureRequest, use_store: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """s3://bucket, gs://bucket and az://container, a new one of each server in turn."""
    server: str = request.getfixturevalue(request.param)
    name = f"test-{uuid.uuid4().hex[:12]}"
    if request.param == "fake_gcs":
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server)
        gcs.client.cache_clear()
        gcs.client(DEFAULT_ACCESS).create_bucket(name)
        yield f"gs://{name}"
        gcs.client.cache_clear()
    elif request.param == "azurite":
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", server)
        azure_blobs.client.cache_clear()
        azure_blobs.client(DEFAULT_ACCESS).create_container(name)
        yield f"az://{name}"
        azure_blobs.client.cache_clear()
    else:
        yield use_store(server)
