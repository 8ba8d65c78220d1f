"""A container's prefix on Azure Blob Storage as a store, through Azure's own client: one request a call.

Put-if-absent is `If-None-Match: *`. The account comes from storage.endpoint_url or the environment:
AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME with a key, a SAS token or an identity.
"""

import base64
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobPrefix, BlobServiceClient, ContentSettings

from pipeline.errors import Reason, UsageError
from pipeline.store.faults import PermanentFault, fault_of_status
from pipeline.store.hosts import refuse_link_local
from pipeline.store.listing import Page, listed_pages
from pipeline.store.objects import Entry, Got, Wanted
from pipeline.store.settings import Access

PAGE = 1000
STALL_S = 15
PART_BYTES = 32 << 20
ONE_REQUEST = 1 << 30  # so that an object is read and written whole; a shard has 128 MB
_PLAIN = ContentSettings(content_type="application/octet-stream")


class AzureObjects:
    """The blobs below `container/prefix`."""

    def __init__(self, container: str, prefix: str, access: Access) -> None:
        self._name, self._access = container, access
        self._prefix = f"{prefix}/" if prefix else ""

    def pages(
        self, prefix: str, hidden: bool = True, follow_links: bool = False, wanted: Wanted | None = None
    ) -> Iterator[list[Entry]]:
        below = wanted.beginning if wanted else f"{prefix}/" if prefix else ""
        yield from listed_pages(self._page, f"az://{self._name}/{self._prefix}", below, hidden)

    def info(self, name: str) -> Entry | None:
        with _faults():
            try:
                known = self._blob(name).get_blob_properties()
            except ResourceNotFoundError:
                return None
            return None if _is_folder(known) else Entry(name, known.size, known.etag.strip('"'))

    def get(self, name: str) -> Got:
        with _faults():
            body = self._blob(name).download_blob()
            return Got(body.readall(), body.properties.etag.strip('"'))

    def get_range(self, name: str, start: int, end: int) -> Got:
        if end <= start:
            return Got(b"", "")
        with _faults():
            body = self._blob(name).download_blob(offset=start, length=end - start)
            return Got(body.readall(), body.properties.etag.strip('"'))

    def create(self, name: str, data: bytes) -> bool:
        with _faults():
            try:
                self._blob(name).upload_blob(data, overwrite=False, content_settings=_PLAIN)
            except ResourceExistsError:
                return False
        return True

    def publish(self, name: str, data: bytes) -> None:
        with _faults():
            self._blob(name).upload_blob(data, overwrite=True, content_settings=_PLAIN)

    def publish_chunks(self, name: str, chunks: Iterable[bytes]) -> None:
        # blocks become a blob when the last request lists them; Azure drops those of a broken upload
        with _faults():
            self._blob(name).upload_blob(iter(chunks), overwrite=True, content_settings=_PLAIN)

    def delete(self, name: str) -> None:
        with _faults():
            try:
                self._blob(name).delete_blob(delete_snapshots="include")
            except ResourceNotFoundError:
                return

    @property
    def _container(self) -> Any:
        return client(self._access).get_container_client(self._name)

    def _blob(self, name: str) -> Any:
        return self._container.get_blob_client(self._prefix + name)

    def _page(self, below: str, token: str | None, by_folder: bool) -> Page:
        what = {"name_starts_with": self._prefix + below, "include": ["metadata"], "results_per_page": PAGE}
        root = len(self._prefix)
        with _faults():
            listing = (
                self._container.walk_blobs(**what, delimiter="/")
                if by_folder
                else self._container.list_blobs(**what)
            ).by_page(token)
            entries, folders = [], []
            for blob in next(listing, ()):
                if isinstance(blob, BlobPrefix):
                    folders.append(blob.name[root:])
                elif not _is_folder(blob):
                    entries.append(Entry(blob.name[root:], blob.size, blob.etag.strip('"')))
            return Page(entries, listing.continuation_token, folders)


@cache
def client(access: Access) -> Any:
    """The process's client with these settings. Raises: UsageError if no account is named."""
    how: dict[str, Any] = {
        "retry_total": 0,  # pipeline/store/faults.py has the only retries
        "connection_timeout": STALL_S,
        "read_timeout": STALL_S,
        "max_single_get_size": ONE_REQUEST,
        "max_single_put_size": ONE_REQUEST,
        "max_block_size": PART_BYTES,
    }
    if access.place.ca_bundle is not None:
        how["connection_verify"] = access.place.ca_bundle
    text = os.environ.get("AZURE_STORAGE_CONNECTION_STRING")
    if text and not access.anonymous and not access.place.endpoint_url:
        try:
            for key in re.findall(r"AccountKey=([^;]*)", text):
                base64.b64decode(key, validate=True)  # else only the first request finds out
            return BlobServiceClient.from_connection_string(text, **how)
        except ValueError as wrong:
            raise UsageError(
                "AZURE_STORAGE_CONNECTION_STRING cannot be read; copy it again from the storage account"
            ) from wrong
    account = os.environ.get("AZURE_STORAGE_ACCOUNT_NAME") or os.environ.get("AZURE_STORAGE_ACCOUNT")
    url = access.place.endpoint_url or (account and f"https://{account}.blob.core.windows.net")
    if not url:
        raise UsageError(
            "az:// needs the name of a storage account; set AZURE_STORAGE_ACCOUNT_NAME, or "
            "storage.endpoint_url in a job file"
        )
    refuse_link_local(urlsplit(url).hostname or "", "the endpoint of az://")
    return BlobServiceClient(url, credential=None if access.anonymous else _credential(), **how)


def _credential() -> Any:
    for name in ("AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_TOKEN"):
        if secret := os.environ.get(name):
            return secret
    return DefaultAzureCredential()


def _is_folder(blob: Any) -> bool:
    """Whether it only stands for a folder, as accounts with a hierarchical namespace list them."""
    return (blob.metadata or {}).get("hdi_isfolder") == "true"


@contextmanager
def _faults() -> Iterator[None]:
    """Turns Azure's errors into OSError, and those that no retry can fix into PermanentFault."""
    try:
        yield
    except ClientAuthenticationError as fault:
        raise PermanentFault(Reason.FORBIDDEN, _first_line(fault)) from fault
    except HttpResponseError as fault:
        raise fault_of_status(fault.status_code or 500, _first_line(fault)) from fault
    except AzureError as fault:
        raise OSError(_first_line(fault)) from fault


def _first_line(fault: Exception) -> str:
    return str(fault).partition("\n")[0] or type(fault).__name__


# a forked process, such as a DataLoader's worker, must not use its parent's connections
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=client.cache_clear)
