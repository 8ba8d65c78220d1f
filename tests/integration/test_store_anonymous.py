"""A public bucket, on a real store with rights for each user: read without credentials, written with them."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from object_stores import SECRET, login_at, seaweedfs_server
from stand_in_generator import photo
from stand_in_run import finished

from pipeline.config import RunConfig
from pipeline.errors import Reason, StoreError
from pipeline.images.fetch import FetchSettings, image_bytes
from pipeline.images.source import Source
from pipeline.output.dataset import Dataset
from pipeline.plan import plan
from pipeline.store import s3
from pipeline.store.storage import Store

USERS = [
    {"name": "anonymous", "actions": ["Read:photos", "List:photos"]},
    {
        "name": "labels only",
        "credentials": [{"accessKey": "labels-key", "secretKey": SECRET}],
        "actions": [f"{action}:labels" for action in ("Read", "Write", "List")],
    },
]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with the buckets `photos`, which everybody may read, and `labels`, which one user may use."""
    with seaweedfs_server(tmp_path_factory.mktemp("seaweedfs"), USERS) as endpoint:
        admin = boto3.client("s3", endpoint_url=endpoint, **admin_login(endpoint))
        for bucket in ("photos", "labels"):
            admin.create_bucket(Bucket=bucket)
        for number in range(3):
            admin.put_object(Bucket="photos", Key=f"in/{number}.png", Body=photo(number))
        yield endpoint


def admin_login(endpoint: str) -> dict[str, str]:
    login = login_at(endpoint)
    return {
        "aws_access_key_id": login["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": login["AWS_SECRET_ACCESS_KEY"],
        "region_name": login["AWS_DEFAULT_REGION"],
    }


@pytest.fixture
def user(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The environment of the user who may use `labels` and nothing else."""
    login = login_at(endpoint) | {"AWS_ACCESS_KEY_ID": "labels-key"}
    for name, value in login.items():
        monkeypatch.setenv(name, value)
    s3.client.cache_clear()
    yield login
    s3.client.cache_clear()


def test_input_alone_is_read_without_credentials(user: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(StoreError) as refused:
        plan(RunConfig(input="s3://photos/in", output="s3://labels/out"))
    assert refused.value.reason is Reason.FORBIDDEN
    summary = finished(
        "s3://photos/in", "s3://labels/out", tmp_path / "log", SAM_LABEL_ANONYMOUS="true", **user
    )
    assert (summary["labelled"], summary["failed"]) == (3, 0)
    assert Dataset.at("s3://labels/out").labelled == 3
    with pytest.raises(StoreError):
        Store.at("s3://labels/out", anonymous=True).read("dataset.json")


def test_without_any_credentials(
    user: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3.client.cache_clear()
    with pytest.raises(StoreError, match="pass --anonymous if the input is public"):
        Source.at("s3://photos/in")
    rows = list(Source.at("s3://photos/in", anonymous=True).rows())
    assert len(rows) == 3
    settings = FetchSettings(None, anonymous=True, max_pixels=1 << 20)
    assert image_bytes(rows[0]._asdict(), settings) == photo(0)
