"""A bucket's prefix as a store, through s3fs's client: one request a call.

The calls pass bucket and key separately, since s3fs's own path functions cut a key at '?versionId=' and list
a whole prefix into memory.
"""

import os
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import fsspec
from aiohttp import ClientError
from botocore.exceptions import BotoCoreError
from fsspec.asyn import sync
from s3fs import S3FileSystem

from pipeline.errors import UsageError
from pipeline.store.faults import ShortBody, response_code
from pipeline.store.hosts import refuse_link_local
from pipeline.store.listing import Page, listed_pages
from pipeline.store.objects import Entry, Got, NoPutIfAbsent, Wanted
from pipeline.store.s3_answers import session
from pipeline.store.s3_upload import upload
from pipeline.store.settings import Access
from pipeline.store.uri import redacted

PAGE = 1000  # the most that S3 gives
# Seconds without one byte. With botocore's 60, two stalls would use up the time for all tries.
STALL_S = 15
MAX_CONNECTIONS = 64  # with botocore's 10, the threads of a fetching process would wait


class S3Objects:
    """The objects below `bucket/prefix`; what the settings leave open comes from the environment."""

    def __init__(self, bucket: str, prefix: str, access: Access) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._access = access

    @property
    def _s3(self) -> Any:
        return client(self._access)

    def pages(
        self, prefix: str, hidden: bool = True, follow_links: bool = False, wanted: Wanted | None = None
    ) -> Iterator[list[Entry]]:
        below = wanted.beginning if wanted else f"{prefix}/" if prefix else ""
        yield from listed_pages(self._page, f"s3://{self._bucket}/{self._prefix}", below, hidden)

    def info(self, name: str) -> Entry | None:
        try:
            head = self._s3.call_s3("head_object", Bucket=self._bucket, Key=self._prefix + name)
        except FileNotFoundError:
            return None
        return Entry(name, head["ContentLength"], head["ETag"].strip('"'))

    def get(self, name: str) -> Got:
        return self._get(name)

    def get_range(self, name: str, start: int, end: int) -> Got:
        if end <= start:
            return Got(b"", "")  # no byte is asked for
        return self._get(name, Range=f"bytes={start}-{end - 1}")

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
                raise NoPutIfAbsent("the store does not support If-None-Match") from fault
            raise
        return True

    def publish(self, name: str, data: bytes) -> None:
        self._put(name, data)

    def publish_chunks(self, name: str, chunks: Iterable[bytes]) -> None:
        upload(self._s3, self._bucket, self._prefix + name, chunks)

    def delete(self, name: str) -> None:
        self._s3.call_s3("delete_object", Bucket=self._bucket, Key=self._prefix + name)

    def _page(self, below: str, token: str | None, by_folder: bool) -> Page:
        more = {"ContinuationToken": token} if token else {}
        more |= {"Delimiter": "/"} if by_folder else {}
        page = self._s3.call_s3(
            "list_objects_v2", Bucket=self._bucket, Prefix=self._prefix + below, MaxKeys=PAGE, **more
        )
        root = len(self._prefix)
        return Page(
            [
                Entry(item["Key"][root:], item["Size"], item["ETag"].strip('"'))
                for item in page.get("Contents", [])
            ],
            page["NextContinuationToken"] if page.get("IsTruncated") else None,
            [item["Prefix"][root:] for item in page.get("CommonPrefixes", [])],
        )

    def _put(self, name: str, data: bytes, **condition: str) -> None:
        # One request, so that an object is whole or not there; S3 accepts up to 5 GB, far more than a shard.
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
def client(access: Access) -> Any:
    """The process's S3 client with these settings, both of its own retry layers off.

    pipeline/store/faults.py has the only retries. Raises: UsageError for an endpoint that cannot be used.
    """
    place, asked = access.place, fsspec.config.conf.get("s3", {}).get("config_kwargs", {})
    given = {
        "anon": access.anonymous or None,
        "profile": place.profile,
        "endpoint_url": place.endpoint_url,
        "requester_pays": place.requester_pays or None,
        "client_kwargs": _unless_none(region_name=place.region, verify=place.ca_bundle) or None,
    }
    client = S3FileSystem(
        skip_instance_cache=True,  # fsspec's cache does not know the environment
        config_kwargs={
            "retries": {"total_max_attempts": 1},
            "max_pool_connections": MAX_CONNECTIONS,
            "connect_timeout": STALL_S,
            "read_timeout": STALL_S,
            **({"s3": {"addressing_style": place.addressing_style}} if place.addressing_style else {}),
            **asked,
        },
        **_unless_none(**given),
    )
    client.retries = 1
    client.session = session(**client.kwargs)  # else s3fs makes its own when it connects
    # botocore takes the endpoint from the environment, from ~/.aws/config or from fsspec's configuration
    try:
        endpoint = client.s3.meta.endpoint_url
    except BotoCoreError:
        raise
    except ValueError as wrong:  # "Invalid endpoint: 127.0.0.1:9000"
        raise UsageError(_not_an_endpoint(redacted(str(wrong)))) from wrong
    if urlsplit(endpoint).scheme not in ("http", "https"):
        raise UsageError(_not_an_endpoint(redacted(endpoint)))
    refuse_link_local(urlsplit(endpoint).hostname or "", f"the S3 endpoint {endpoint}")
    return client


def _unless_none(**given: Any) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _not_an_endpoint(what: str) -> str:
    return (
        f"the S3 endpoint is not a URL ({what}); write it with its scheme, as in "
        "AWS_ENDPOINT_URL=http://127.0.0.1:9000"
    )


# a forked process, such as a DataLoader's worker, does not have the client's thread
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=client.cache_clear)
