"""A SeaweedFS with photos, for runs of other processes that find it through the environment."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
from object_stores import SeaweedFS, login_at, new_bucket

from pipeline.store import s3


@contextmanager
def store_of_photos(folder: Path) -> Iterator[tuple[SeaweedFS, str]]:
    """Starts a store in the folder, and puts the photos of its folder `in` into a bucket: s3://bucket."""
    server = SeaweedFS(folder)
    try:
        os.environ |= login_at(server.endpoint)
        s3.client.cache_clear()  # the store before had another endpoint
        bucket, objects = new_bucket(), boto3.client("s3")
        for file in (folder / "in").iterdir():
            objects.upload_file(str(file), bucket.removeprefix("s3://"), f"in/{file.name}")
        yield server, bucket
    finally:
        server.kill()
