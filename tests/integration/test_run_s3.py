"""The whole way from s3:// to s3://, with the real model, on two real object stores."""

import json
import os
import subprocess
import sys
from pathlib import Path

import boto3
from PIL import Image

from pipeline.output.commands.validate import validate
from pipeline.output.dataset import Dataset

PHOTOS = Path(__file__).parents[2] / "jobs" / "demo" / "photos"
NAMES = ["in/coffee.jpg", "in/sub folder/coins #1 50%+?&=\u00fc.jpg"]


def put_photos(bucket: str, folder: Path) -> None:
    store = boto3.client("s3")
    for source, name in zip(("coffee.jpg", "coins.jpg"), NAMES, strict=True):
        with Image.open(PHOTOS / source) as image:
            image.resize((240, 160)).save(folder / "photo.jpg")
        store.put_object(Bucket=bucket, Key=name, Body=(folder / "photo.jpg").read_bytes())
    store.put_object(Bucket=bucket, Key="in/text.jpg", Body=b"not an image")
    store.put_object(Bucket=bucket, Key="in/cut.jpg", Body=(PHOTOS / "chelsea.jpg").read_bytes()[:20_000])
    store.put_object(Bucket=bucket, Key="in/notes.json", Body=b"{}")
    store.put_object(Bucket=bucket, Key="input_of_others/other.jpg", Body=b"not ours")


def sam_label(*arguments: str) -> dict[str, object]:
    """The JSON that the command prints."""
    command = [sys.executable, "-c", "from jobs.cli import main; main()", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ.copy())
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_from_s3_to_s3(object_store: str, tmp_path: Path) -> None:
    bucket = object_store.removeprefix("s3://")
    put_photos(bucket, tmp_path)
    command = ("run", f"{object_store}/in", f"{object_store}/out", "--points-per-side", "3")
    summary = sam_label(*command)
    assert (summary["labelled"], summary["failed_by_reason"]) == (2, {"NOT_AN_IMAGE": 1, "TRUNCATED": 1})

    found = validate(f"{object_store}/out")
    assert found.problems == []
    rows = Dataset.at(f"{object_store}/out").table(["uri", "status", "width", "num_masks"]).to_pylist()
    ok = {row["uri"]: row for row in rows if row["status"] == "ok"}
    assert set(ok) == {f"{object_store}/{name}" for name in NAMES}
    assert all(row["width"] == 240 and row["num_masks"] > 0 for row in ok.values())

    again = sam_label(*command)
    assert (again["labelled"], again["skipped_done"]) == (0, 4)

    one = sam_label("run", f"{object_store}/{NAMES[1]}", f"{object_store}/one", "--dry-run")
    assert (one["images"], one["pending"]) == (1, 1)
