"""Link-local hosts are refused in every spelling, wherever an endpoint is named."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.store.hosts import is_link_local_address, is_this_machine, refuse_link_local
from pipeline.store.s3 import client
from pipeline.store.storage import Store

SPELLINGS = [
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "::ffff:169.254.169.254",
    "fe80::1",
    "fd00:ec2::254",
]


@pytest.mark.parametrize("host", SPELLINGS)
def test_no_spelling_of_a_link_local_address_passes(host: str) -> None:
    with pytest.raises(UsageError, match="the endpoint leads to the link-local host"):
        refuse_link_local(host, "the endpoint")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "10.0.0.7", "localhost", "fd00::1", "no-such-host.invalid", ""]
)
def test_other_hosts_pass(host: str) -> None:
    refuse_link_local(host, "the endpoint")


def test_an_address_is_known_in_every_spelling() -> None:
    assert all(map(is_link_local_address, SPELLINGS))
    assert not any(map(is_link_local_address, ["localhost", "photos", "10.0.0.7", "2026", ""]))


def test_this_machine_is_known_by_its_addresses() -> None:
    assert is_this_machine("localhost")
    assert not is_this_machine("10.0.0.7")
    assert not is_this_machine("no-such-host.invalid")


@pytest.fixture
def aws_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file used as ~/.aws/config, in an environment that names no endpoint."""
    config = tmp_path / "config"
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    for variable in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    client.cache_clear()
    yield config
    client.cache_clear()


def test_an_endpoint_of_the_aws_config_file_is_looked_at(aws_config: Path) -> None:
    aws_config.write_text("[default]\nregion = us-east-1\nendpoint_url = http://169.254.169.254:80\n")
    with pytest.raises(UsageError, match="S3 endpoint"):
        Store.at("s3://bucket").info("x")


def test_an_endpoint_of_the_environment_is_looked_at(
    aws_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://[::ffff:169.254.169.254]:80")
    with pytest.raises(UsageError, match="S3 endpoint"):
        Store.at("s3://bucket").info("x")


@pytest.mark.parametrize(
    "endpoint", ["127.0.0.1:9000", "localhost:9000", "minio.example", "ftp://minio:9000"]
)
def test_an_endpoint_that_is_no_url_says_how_to_write_one(
    aws_config: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(
        UsageError, match=rf"{endpoint}.*; write it with its scheme.*http://127\.0\.0\.1:9000"
    ):
        Store.at("s3://bucket").info("x")
