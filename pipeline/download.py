"""A file fetched from a URL: streamed into a partial file, hashed on the way, named only when it is whole.

One that was cut off goes on from where it stopped. http(s) goes through the standard library, which honours
the environment's proxy settings and has no limit on the whole transfer; everything else goes through fsspec.
"""

import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import fsspec

from pipeline.errors import SamLabelError, UsageError
from pipeline.uri import redacted

SCHEMES = ("file", "s3", "gs", "http", "https")
CHUNK_BYTES = 4 << 20  # large enough that hashing takes the time, not calls
SILENCE_S = 60  # a server that says nothing for so long has gone
RANGE_NOT_SATISFIABLE = 416  # the partial file was whole already
PARTIAL_CONTENT = 206
Progress = Callable[[int, int], None]
"""Told how many bytes are here and how many there will be; 0 where that is unknown."""


def download(url: str, target: Path, sha256: str | None, progress: Progress) -> None:
    """Fetches the URL's bytes into `target`, whose folder is made; `sha256` None takes any bytes.

    Raises: UsageError: the scheme is not fetched. SamLabelError: not reached, cut off, not the right bytes.
    """
    if urlsplit(url).scheme not in SCHEMES or "::" in url:
        raise UsageError(
            f"cannot fetch {redacted(url)}: name a URL that starts with {'://, '.join(SCHEMES)}://"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    try:
        found = _append_rest(url, partial, progress)
    except Exception as failure:
        here = (
            f"{partial.stat().st_size / 1e6:.0f} MB are here" if partial.exists() else "nothing is here yet"
        )
        raise SamLabelError(
            f"fetching {redacted(url)} failed ({failure}): {here}, the same command goes on from there; "
            "without network, fetch the file elsewhere and name it with --checkpoint"
        ) from failure
    if sha256 is not None and found != sha256:
        partial.unlink()
        raise SamLabelError(
            f"{redacted(url)} is not the expected file: its sha256 is {found} instead of {sha256}; "
            "it was deleted: fetch it again, or from another place with --from"
        )
    partial.replace(target)


def _append_rest(url: str, partial: Path, progress: Progress) -> str:
    """The SHA-256 of the whole, after what the partial file lacked was streamed to its end."""
    have = partial.stat().st_size if partial.exists() else 0
    with _opened(url, have) as (stream, start, size_bytes), partial.open("r+b" if start else "wb") as file:
        digest = hashlib.sha256()
        while start and (chunk := file.read(CHUNK_BYTES)):
            digest.update(chunk)
        while chunk := stream.read(CHUNK_BYTES):
            file.write(chunk)
            digest.update(chunk)
            progress(file.tell(), size_bytes)
        if size_bytes and file.tell() != size_bytes:
            raise EOFError(f"the connection ended after {file.tell()} of {size_bytes} bytes")
    return digest.hexdigest()


@contextmanager
def _opened(url: str, start: int) -> Iterator[tuple[Any, int, int]]:
    """The bytes from `start` on, or from 0 where the server cannot; where they start; the whole size or 0."""
    if urlsplit(url).scheme not in ("http", "https"):
        with fsspec.open(url, "rb") as stream:
            stream.seek(start)
            yield stream, start, stream.size
        return
    request = Request(url, headers={"Range": f"bytes={start}-"} if start else {})  # noqa: S310  scheme checked
    try:
        answer = urlopen(request, timeout=SILENCE_S)  # noqa: S310
    except HTTPError as refusal:
        if refusal.code != RANGE_NOT_SATISFIABLE:
            raise
        yield io.BytesIO(), start, start
        return
    with answer:
        start = start if answer.status == PARTIAL_CONTENT else 0
        yield answer, start, start + int(answer.headers.get("Content-Length", 0))
