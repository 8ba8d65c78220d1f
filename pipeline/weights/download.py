"""Downloads a file: streams it into a partial file, hashes it on the way, and renames it when it is whole.

If several processes want the same file, one fetches it and the others wait: the partial file is locked while
it is written. A transfer that was cut off resumes where it stopped if the sha256 is known beforehand; without
it, the two halves could be of different versions and nobody would notice. http(s) goes through the standard
library, which honours the environment's proxy settings and does not limit the time of the whole transfer;
everything else goes through `Store`.
"""

import fcntl
import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPMessage
from pathlib import Path
from typing import IO, Any, BinaryIO
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from pipeline.errors import SamLabelError, UsageError
from pipeline.progress import Progress
from pipeline.store.hosts import is_this_machine, refuse_link_local
from pipeline.store.range_file import RangeFile
from pipeline.store.storage import Store
from pipeline.store.uri import SCHEMES, redacted

CHUNK_BYTES = 4 << 20  # large enough that hashing takes the time, not the calls
SILENCE_S = 60  # a server that sends nothing for so long is gone
RANGE_NOT_SATISFIABLE = 416  # the partial file was whole already
PARTIAL_CONTENT = 206


def download(url: str, target: Path, sha256: str | None, progress: Progress) -> None:
    """Downloads the URL to `target`, unless it exists; with `sha256` None any bytes are accepted.

    Raises: UsageError: the URL is not allowed. SamLabelError: not reached, cut off, or other bytes.
    """
    _refuse_unsafe(url, sha256)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _partial(target) as partial:
        if partial is None:
            return
        if sha256 is None:
            partial.truncate(0)
        try:
            fetched_sha256 = _append_rest(url, sha256, partial, progress)
        except SamLabelError:
            raise
        except Exception as failure:
            goes_on = f": {partial.tell() / 1e6:.0f} MB are stored, and the same command continues from there"
            raise SamLabelError(
                f"fetching {redacted(url)} failed ({redacted(str(failure))}){goes_on if sha256 else ''}; "
                "without network, download the file on another machine and give its path with --checkpoint"
            ) from failure
        if sha256 is not None and fetched_sha256 != sha256:
            Path(partial.name).unlink()
            raise SamLabelError(
                f"{redacted(url)} is not the expected file: its sha256 is {fetched_sha256}, not {sha256}; "
                "it was deleted: fetch it again, or from another place with --from"
            )
        Path(partial.name).replace(target)


@contextmanager
def _partial(target: Path) -> Iterator[BinaryIO | None]:
    """The target's partial file, locked for this process; None if the target exists."""
    path = target.with_name(target.name + ".partial")
    while not target.is_file():
        with path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # the system releases it when the process ends
            is_named_so = path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())
            if not is_named_so:  # finished or deleted while we waited
                continue
            if target.is_file():  # finished just before we opened a new one
                path.unlink()
                continue
            yield file
            return
    yield None


def _append_rest(url: str, sha256: str | None, partial: BinaryIO, progress: Progress) -> str:
    """Appends the missing bytes, and returns the sha256 of the whole file."""
    with _opened(url, sha256, start=partial.seek(0, os.SEEK_END)) as (stream, start, size_bytes):
        if start == 0:
            partial.truncate(0)
        partial.seek(0)
        digest = hashlib.sha256()
        while chunk := partial.read(CHUNK_BYTES):
            digest.update(chunk)
        while chunk := stream.read(CHUNK_BYTES):
            partial.write(chunk)
            digest.update(chunk)
            progress(partial.tell(), size_bytes)
        partial.flush()
        if size_bytes and partial.tell() != size_bytes:
            raise EOFError(f"the connection ended after {partial.tell()} of {size_bytes} bytes")
    return digest.hexdigest()


@contextmanager
def _opened(url: str, sha256: str | None, start: int) -> Iterator[tuple[Any, int, int]]:
    """A stream of the bytes from `start`, or from 0 if the server has no ranges; its start; the whole size.

    The size is 0 if it is unknown.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        store, name = Store.of_uri(Store.at(url).url)
        entry = store.info(name)
        if entry is None:
            raise UsageError(f"there is no file {redacted(url)}; check the URL")
        with RangeFile(store, name, entry.size) as stream:
            stream.seek(start)
            yield stream, start, entry.size
        return
    request = Request(url, headers={"Range": f"bytes={start}-"} if start else {})  # noqa: S310  scheme checked
    try:
        answer = build_opener(_SafeRedirects(sha256)).open(request, timeout=SILENCE_S)
    except HTTPError as refusal:
        if refusal.code != RANGE_NOT_SATISFIABLE:
            raise
        yield io.BytesIO(), start, start
        return
    with answer:
        start = start if answer.status == PARTIAL_CONTENT else 0
        yield answer, start, start + int(answer.headers.get("Content-Length", 0))


class _SafeRedirects(HTTPRedirectHandler):
    """Follows a redirect only to a place that the URL itself could have named."""

    def __init__(self, sha256: str | None) -> None:
        self._sha256 = sha256

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        _refuse_unsafe(newurl, self._sha256)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _refuse_unsafe(url: str, sha256: str | None) -> None:
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise UsageError(
            f"cannot fetch {redacted(url)}: name a URL that starts with {'://, '.join(SCHEMES)}://"
        )
    if parts.scheme not in ("http", "https"):
        return
    host = parts.hostname or ""
    refuse_link_local(host, redacted(url))
    if parts.scheme == "http" and sha256 is None and not is_this_machine(host):
        raise UsageError(
            f"{redacted(url)} is not encrypted, so anybody on the way could replace the weights: name an "
            "https URL, or fetch the file yourself and name its path"
        )
