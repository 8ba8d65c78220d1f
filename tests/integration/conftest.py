"""Stores for tests, and the environment that leads to them; `object_store` runs a test on both servers.

One Ray for all tests that run in this process.
"""

from collections.abc import Callable, Iterator

import pytest
import ray
from object_stores import login_at, moto_server, new_bucket, seaweedfs_server

from pipeline.store import s3


@pytest.fixture(scope="package")
def one_ray() -> Iterator[None]:
    """A local Ray in this process, started before any run. It ends with the folder's last test."""
    ray.init(
        address="local",
        num_cpus=4,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=200 << 20,
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
    """Call it with an endpoint: makes a bucket there, points the environment at it, gives s3://bucket."""

    def use(endpoint: str) -> str:
        for name, value in login_at(endpoint).items():
            monkeypatch.setenv(name, value)
        s3.client.cache_clear()  # a process has one client; the endpoint differs from test to test
        return new_bucket()

    yield use
    s3.client.cache_clear()


@pytest.fixture(params=["seaweedfs", "moto"])
def object_store(request: pytest.FixtureRequest, use_store: Callable[[str], str]) -> str:
    """s3://bucket, a new bucket of each server in turn."""
    endpoint: str = request.getfixturevalue(request.param)
    return use_store(endpoint)
