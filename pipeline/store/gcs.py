"""A bucket's prefix on Google Cloud Storage as a store, through Google's own client: one request a call.

An object's etag is its generation, so put-if-absent is "generation 0". In a bucket with versions the current
object is read, and its generation is compared with the one that was listed.
"""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from google.api_core.exceptions import GoogleAPICallError, NotFound, PreconditionFailed
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError, TransportError
from google.cloud.exceptions import GoogleCloudError
from google.cloud.storage import Client
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
from requests.adapters import HTTPAdapter

from pipeline.errors import Reason, UsageError
from pipeline.store.faults import PermanentFault, fault_of_status
from pipeline.store.hosts import refuse_link_local
from pipeline.store.listing import Page, listed_pages
from pipeline.store.objects import Entry, Got, Wanted
from pipeline.store.settings import Access

PAGE = 1000
STALL_S = 15
MAX_CONNECTIONS = 64
PART_BYTES = 32 << 20
# One try for each request, with bounded stalls: pipeline/store/faults.py has the only retries.
_ONCE: dict[str, Any] = {"retry": None, "timeout": (STALL_S, STALL_S)}
_PLAIN = "application/octet-stream"


class GcsObjects:
    """The objects below `bucket/prefix`; credentials are Google's application default ones."""

    def __init__(self, bucket: str, prefix: str, access: Access) -> None:
        self._name, self._access = bucket, access
        self._prefix = f"{prefix}/" if prefix else ""

    def pages(
        self, prefix: str, hidden: bool = True, follow_links: bool = False, wanted: Wanted | None = None
    ) -> Iterator[list[Entry]]:
        below = wanted.beginning if wanted else f"{prefix}/" if prefix else ""
        yield from listed_pages(self._page, f"gs://{self._name}/{self._prefix}", below, hidden)

    def info(self, name: str) -> Entry | None:
        with _faults():
            blob = self._bucket.get_blob(self._prefix + name, **_ONCE)
        return self._entry(blob) if blob is not None else None

    def get(self, name: str) -> Got:
        with _faults():
            blob = self._blob(name)
            data = blob.download_as_bytes(raw_download=True, **_ONCE)
            return Got(data, str(blob.generation))

    def get_range(self, name: str, start: int, end: int) -> Got:
        if end <= start:
            return Got(b"", "")
        with _faults():
            blob = self._blob(name)
            data = blob.download_as_bytes(start=start, end=end - 1, raw_download=True, **_ONCE)
            return Got(data, str(blob.generation))

    def create(self, name: str, data: bytes) -> bool:
        try:
            with _faults():
                self._put(name, data, if_generation_match=0)
        except FileExistsError:
            return False
        return True

    def publish(self, name: str, data: bytes) -> None:
        with _faults():
            self._put(name, data)

    def publish_chunks(self, name: str, chunks: Iterable[bytes]) -> None:
        # if `chunks` raises, the upload is cancelled and no object appears
        with (
            _faults(),
            self._blob(name).open("wb", chunk_size=PART_BYTES, content_type=_PLAIN, **_ONCE) as upload,
        ):
            for chunk in chunks:
                upload.write(chunk)

    def delete(self, name: str) -> None:
        with _faults():
            try:
                self._blob(name).delete(**_ONCE)
            except NotFound:
                return

    @property
    def _bucket(self) -> Any:
        gcs = client(self._access)
        payer = None
        if self._access.place.requester_pays:
            payer = gcs.project
            if payer is None:
                raise UsageError(
                    "storage.requester_pays needs a project that pays for gs://; set GOOGLE_CLOUD_PROJECT"
                )
        return gcs.bucket(self._name, user_project=payer)

    def _blob(self, name: str) -> Any:
        return self._bucket.blob(self._prefix + name)

    def _put(self, name: str, data: bytes, **condition: int) -> None:
        self._blob(name).upload_from_string(data, content_type=_PLAIN, **condition, **_ONCE)

    def _page(self, below: str, token: str | None, by_folder: bool) -> Page:
        with _faults():
            listing = self._bucket.list_blobs(
                prefix=self._prefix + below,
                page_size=PAGE,
                page_token=token,
                delimiter="/" if by_folder else None,
                **_ONCE,
            )
            entries = [self._entry(blob) for blob in next(listing.pages, ())]
            folders = [folder[len(self._prefix) :] for folder in listing.prefixes]
            return Page(entries, listing.next_page_token, folders)

    def _entry(self, blob: Any) -> Entry:
        return Entry(blob.name[len(self._prefix) :], blob.size or 0, str(blob.generation))


@cache
def client(access: Access) -> Any:
    """The process's client with these settings. Raises: UsageError for a link-local endpoint."""
    options = {}
    if access.place.endpoint_url:
        options["api_endpoint"] = access.place.endpoint_url
        refuse_link_local(urlsplit(access.place.endpoint_url).hostname or "", "storage.endpoint_url")
    known: dict[str, Any] = {}
    if access.anonymous:
        nobody = AnonymousCredentials()  # type: ignore[no-untyped-call]
        known = {"credentials": nobody, "project": os.environ.get("GOOGLE_CLOUD_PROJECT")}
    with _faults():
        gcs = Client(client_options=options, **known)
    session = gcs._http  # Google's documented way to more connections and other certificates
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=MAX_CONNECTIONS))
    if access.place.ca_bundle is not None:
        session.verify = access.place.ca_bundle
    return gcs


@contextmanager
def _faults() -> Iterator[None]:
    """Turns Google's errors into OSError, and those that no retry can fix into PermanentFault."""
    try:
        yield
    except PreconditionFailed as fault:
        raise FileExistsError(errno.EEXIST, str(fault)) from fault
    except InvalidResponse as fault:
        raise fault_of_status(fault.response.status_code, str(fault)) from fault
    except (GoogleAPICallError, GoogleCloudError) as fault:
        raise fault_of_status(fault.code or 500, fault.message or type(fault).__name__) from fault
    except (TransportError, DataCorruption) as fault:
        raise OSError(str(fault)) from fault
    except GoogleAuthError as fault:
        raise PermanentFault(Reason.FORBIDDEN, str(fault)) from fault


# a forked process, such as a DataLoader's worker, must not use its parent's connections
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=client.cache_clear)
