"""Runs from s3:// to s3:// on a real store with access rights; the model is a stand-in.

The input is a public bucket, read without credentials; the output belongs to the user.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import stand_in_run
from object_stores import SECRET, login_at, seaweedfs_server
from PIL import Image

from jobs.cli import main
from pipeline.config import RunConfig
from pipeline.errors import Reason, StoreError
from pipeline.images.fetch import FetchSettings, fetched
from pipeline.inputs.options import SourceOptions
from pipeline.inputs.source import Source
from pipeline.output.commands.validate import validate
from pipeline.output.dataset import Dataset
from pipeline.plan import plan
from pipeline.store import s3
from pipeline.store.settings import Access
from pipeline.store.storage import Store

PHOTOS = Path(__file__).parents[2] / "jobs" / "demo" / "photos"
NAMES = ["in/coffee.jpg", "in/sub folder/coins #1 50%+?&=\u00fc.jpg"]
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
    """A server with the public bucket `photos` and the bucket `labels`, which only one user may use."""
    folder = tmp_path_factory.mktemp("seaweedfs")
    with seaweedfs_server(folder, USERS) as endpoint:
        login = login_at(endpoint)
        admin = boto3.client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id=login["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=login["AWS_SECRET_ACCESS_KEY"],
            region_name=login["AWS_DEFAULT_REGION"],
        )
        for bucket in ("photos", "labels"):
            admin.create_bucket(Bucket=bucket)
        put_photos(admin, folder)
        yield endpoint


def put_photos(store: Any, folder: Path) -> None:
    for source, name in zip(("coffee.jpg", "coins.jpg"), NAMES, strict=True):
        with Image.open(PHOTOS / source) as image:
            image.resize((240, 160)).save(folder / "photo.jpg")
        store.put_object(Bucket="photos", Key=name, Body=(folder / "photo.jpg").read_bytes())
    store.put_object(Bucket="photos", Key="in/text.jpg", Body=b"not an image")
    store.put_object(Bucket="photos", Key="in/cut.jpg", Body=(PHOTOS / "chelsea.jpg").read_bytes()[:20_000])
    store.put_object(Bucket="photos", Key="in/notes.json", Body=b"{}")
    store.put_object(Bucket="photos", Key="input_of_others/other.jpg", Body=b"not ours")


@pytest.fixture
def user(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The environment of the user who may use only `labels`."""
    for name, value in (login_at(endpoint) | {"AWS_ACCESS_KEY_ID": "labels-key"}).items():
        monkeypatch.setenv(name, value)
    s3.client.cache_clear()
    yield
    s3.client.cache_clear()


def printed_here(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """Runs the command in this process, and returns the JSON that it prints."""
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--json"])
    printed = capsys.readouterr()
    assert end.value.code == 0, printed.err
    return json.loads(printed.out)


def test_from_a_public_bucket_to_the_users_own(
    user: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(StoreError) as refused:
        plan(RunConfig(input="s3://photos/in", output="s3://labels/out"))
    assert refused.value.reason is Reason.FORBIDDEN

    places, options = ("s3://photos/in", "s3://labels/out"), {"anonymous": True, "workers": 1}
    summary = stand_in_run.finished(*places, tmp_path / "log", options)
    assert (summary["labelled"], summary["failed_by_reason"]) == (2, {"NOT_AN_IMAGE": 1, "TRUNCATED": 1})
    with pytest.raises(StoreError):
        Store.at("s3://labels/out", Access(anonymous=True)).read("dataset.json")

    assert validate("s3://labels/out").problems == []
    rows = Dataset.at("s3://labels/out").table(["uri", "status", "width", "num_masks"]).to_pylist()
    ok = {row["uri"]: row for row in rows if row["status"] == "ok"}
    assert set(ok) == {f"s3://photos/{name}" for name in NAMES}
    assert all(row["width"] == 240 and row["num_masks"] > 0 for row in ok.values())

    # in this process, since neither command starts a Ray
    again = printed_here(capsys, "run", *places, "--anonymous", "--workers", "1")
    assert (again["labelled"], again["skipped_done"]) == (0, 4)

    one = printed_here(
        capsys, "run", f"s3://photos/{NAMES[1]}", "s3://labels/one", "--dry-run", "--anonymous"
    )
    assert (one["images"], one["pending"]) == (1, 1)


def test_plan_and_doctor_reach_the_places_of_a_job_file(
    user: None,
    endpoint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Before the run, with the same `[storage]`; the environment does not name the server."""
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("SAM_LABEL_STORAGE_OUTPUT_REGION", "eu-west-1")  # its variables count too
    places = ["input = 's3://photos/in'", "output = 's3://labels/before'", "anonymous = true"]
    storage = ["[storage]", f"endpoint_url = '{endpoint}'", "addressing_style = 'path'"]
    job = tmp_path / "job.toml"
    job.write_text("\n".join([*places, *storage]))
    planned = printed_here(capsys, "plan", "--config", str(job))
    assert planned["images"] == 4
    seen = printed_here(capsys, "doctor", "--config", str(job))
    findings = {each["what"]: each for each in seen}
    assert findings["input"]["says"] == "s3://photos/in/coffee.jpg can be read"
    assert findings["output"]["says"] == "a dataset can be written to s3://labels/before"
    assert endpoint in findings["S3 credentials"]["says"]


def test_without_any_credentials(user: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3.client.cache_clear()
    with pytest.raises(StoreError, match="pass --anonymous if the input is public"):
        Source.at("s3://photos/in")
    rows = list(Source.at("s3://photos/in", SourceOptions(access=Access(anonymous=True))).rows())
    assert [row.uri.rpartition("/")[2] for row in rows] == [
        "coffee.jpg",
        "cut.jpg",
        NAMES[1][14:],
        "text.jpg",
    ]
    settings = FetchSettings(None, Access(anonymous=True), max_pixels=1 << 20)
    assert fetched(rows[-1]._asdict(), settings).data == b"not an image"


@pytest.mark.parametrize(
    ("place", "is_admin", "code", "sentence"),
    [
        ("s3://photos/2026-11-02", True, 0, "no image was found in s3://photos/2026-11-02"),
        ("s3://photos/2026-11-02/*.jpg", True, 0, "no image was found in"),
        ("s3://photoss/2026-11-02", True, 2, "name one that exists at the endpoint"),
        ("s3://photos/2026-11-02", False, 1, "Forbidden"),
    ],
)
def test_only_a_prefix_without_photos_may_be_empty(
    user: None,
    endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    place: str,
    is_admin: bool,
    code: int,
    sentence: str,
) -> None:
    if is_admin:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", login_at(endpoint)["AWS_ACCESS_KEY_ID"])
        s3.client.cache_clear()
    with pytest.raises(SystemExit) as end:
        main(["run", place, "s3://labels/empty", "--allow-empty"])
    written = capsys.readouterr()
    assert end.value.code == code, written.err
    assert sentence in written.out + written.err
    assert list(Store.at("s3://labels/empty").list()) == []
