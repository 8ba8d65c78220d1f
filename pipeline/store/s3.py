"""A bucket's prefix as a store, through s3fs's client: one request a call.

The calls name bucket and key apart, since s3fs's own path functions cut a key at '?versionId=' and list a
whole prefix into memory.
"""

from collections.abc import Iterator
from functools import cache, partial
from typing import Any
from urllib.parse import urlsplit

import fsspec
from aiohttp import ClientError
from fsspec.asyn import sync
from s3fs import S3FileSystem

from pipeline.store.faults import ShortBody, response_code, tried
from pipeline.store.hosts import refuse_link_local
from pipeline.store.objects import Entry, Got, NoPutIfAbsent, is_hidden

PAGE = 1000  # the most that S3 gives
STALL_S = 15  # without one byte; botocore's 60 would use up the time for tries with the second stall
MAX_CONNECTIONS = 64  # botocore's 10 would queue the threads of one fetching process


class S3Objects:
    """The objects below `bucket/prefix`; the endpoint and credentials come from the environment."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._s3 = client()

    def pages(self, prefix: str, hidden: bool = True) -> Iterator[list[Entry]]:
        below = self._prefix + (f"{prefix}/" if prefix else "")
        more: dict[str, str] = {}
        while True:
            page = tried(partial(self._list, below, more), f"list s3://{self._bucket}/{below}")
            listed = [
                Entry(item["Key"][len(self._prefix) :], item["Size"], item["ETag"].strip('"'))
                for item in page.get("Contents", [])
                if not item["Key"].endswith("/")  # a console's marker for an empty folder
            ]
            yield [entry for entry in listed if hidden or not is_hidden(entry.name)]
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def info(self, name: str) -> Entry | None:
        try:
            head = self._s3.call_s3("head_object", Bucket=self._bucket, Key=self._prefix + name)
        except FileNotFoundError:
            return None
        return Entry(name, head["ContentLength"], head["ETag"].strip('"'))

    def get(self, name: str) -> Got:
        return self._get(name)

    def get_range(self, name: str, start: int, end: int) -> bytes:
        if end <= start:
            return b""
        return self._get(name, Range=f"bytes={start}-{end - 1}").data

    def create(self, name: str, data: bytes) -> bool:
        try:
            self._put(name, data, IfNoneMatch="*")
        except FileExistsError:
            return False
        except OSError as fault:
            code = response_code(fault)
            if code in ("PreconditionFailed", "412"):
                return False
            if code in ("NotImplemented", "501"):
                raise NoPutIfAbsent("the store does not know If-None-Match") from fault
            raise
        return True

    def publish(self, name: str, data: bytes) -> None:
        self._put(name, data)

    def delete(self, name: str) -> None:
        self._s3.call_s3("delete_object", Bucket=self._bucket, Key=self._prefix + name)

    def _list(self, below: str, more: dict[str, str]) -> dict[str, Any]:
        page: dict[str, Any] = self._s3.call_s3(
            "list_objects_v2", Bucket=self._bucket, Prefix=below, MaxKeys=PAGE, **more
        )
        return page

    def _put(self, name: str, data: bytes, **condition: str) -> None:
        # One put: an object is whole or not there. S3 takes up to 5 GB so, and a shard is a fiftieth of it.
        self._s3.call_s3("put_object", Bucket=self._bucket, Key=self._prefix + name, Body=data, **condition)

    def _get(self, name: str, **part: str) -> Got:
        answer = self._s3.call_s3("get_object", Bucket=self._bucket, Key=self._prefix + name, **part)
        try:
            data = sync(self._s3.loop, answer["Body"].read)
        except ClientError as fault:
            raise ShortBody(f"the body broke off: {fault}") from fault
        finally:
            answer["Body"].close()
        if len(data) != answer["ContentLength"]:
            raise ShortBody(f"{len(data)} of {answer['ContentLength']} bytes came")
        return Got(data, answer["ETag"].strip('"'))


@cache
def client() -> Any:
    """The process's one S3 client, both of its own retry layers off (pipeline/store/faults.py has ours)."""
    asked = fsspec.config.conf.get("s3", {}).get("config_kwargs", {})
    client = S3FileSystem(
        skip_instance_cache=True,  # fsspec's cache knows nothing of the environment
        config_kwargs={
            "retries": {"total_max_attempts": 1},
            "max_pool_connections": MAX_CONNECTIONS,
            "connect_timeout": STALL_S,
            "read_timeout": STALL_S,
            **asked,
        },
    )
    client.retries = 1
    endpoint = client.s3.meta.endpoint_url  # from the environment, ~/.aws/config or fsspec's: botocore knows
    refuse_link_local(urlsplit(endpoint).hostname or "", f"the S3 endpoint {endpoint}")
    return client
