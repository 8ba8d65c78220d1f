"""A web host as a read-only store: an image a URL, no listing, no writing.

Redirects are followed one by one, and the host of each is checked like the first. A body is read as it
comes, and no further than the limit, whatever its header announces.
"""

import asyncio
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import aiohttp
from fsspec.asyn import get_loop, sync
from yarl import URL

from pipeline.errors import Reason, UsageError
from pipeline.store.faults import PermanentFault, ShortBody, fault_of_status
from pipeline.store.host_turns import hold, turn
from pipeline.store.objects import UNKNOWN_SIZE, Entry, Got, NoPutIfAbsent, Wanted
from pipeline.store.settings import Access
from pipeline.store.uri import WEB, redacted
from pipeline.store.web_session import refuse_literal, session

REDIRECTS = 5
CHUNK = 64 << 10
STALL_S = 15  # without one byte
_REDIRECT = (301, 302, 303, 307, 308)
_BUSY = (429, 503)
_READ_ONLY = "https URLs can only be read"
# Characters that a URL may hold as they are; all others are percent-encoded.
_IN_A_URL = "%/?:@!$&'()*+,;=-._~[]"


@dataclass(frozen=True)
class _Answer:
    """One answer of a host: where it redirects to, or its headers and the wanted part of its body."""

    leads_to: str | None
    headers: Any
    is_part: bool = False
    data: bytes = b""


class WebObjects:
    """The objects that a host serves; a name is everything after the host in the URL."""

    def __init__(self, scheme: str, host: str, access: Access) -> None:
        self._base = f"{scheme}://{host}"
        self._access, self._settings = access, access.https

    def pages(
        self, prefix: str, hidden: bool = True, follow_links: bool = False, wanted: Wanted | None = None
    ) -> Iterator[list[Entry]]:
        raise UsageError(
            f"{redacted(self._base)} cannot be listed, because web servers have no listing; name an image, "
            "or a list of them"
        )

    def info(self, name: str) -> Entry | None:
        try:
            answer = self._get(name, most=0)
        except PermanentFault as fault:
            if fault.cause is Reason.SOURCE_MISSING:
                return None
            raise
        size = int(answer.headers.get("Content-Length") or UNKNOWN_SIZE)
        return Entry(name, size, _etag(answer.headers))

    def get(self, name: str) -> Got:
        answer = self._get(name)
        return Got(answer.data, _etag(answer.headers) or hashlib.sha256(answer.data).hexdigest()[:32])

    def get_range(self, name: str, start: int, end: int) -> Got:
        if end <= start:
            return Got(b"", "")
        answer = self._get(name, most=end, wanted=f"bytes={start}-{end - 1}")
        data = answer.data[: end - start] if answer.is_part else answer.data[start:end]
        return Got(data, _etag(answer.headers))

    def create(self, name: str, data: bytes) -> bool:
        raise NoPutIfAbsent(_READ_ONLY)

    def publish(self, name: str, data: bytes) -> None:
        raise NoPutIfAbsent(_READ_ONLY)

    def publish_chunks(self, name: str, chunks: Iterable[bytes]) -> None:
        raise NoPutIfAbsent(_READ_ONLY)

    def delete(self, name: str) -> None:
        raise NoPutIfAbsent(_READ_ONLY)

    def _get(self, name: str, most: int | None = None, wanted: str = "") -> _Answer:
        """The object's answer; the body is whole, or its first `most` bytes."""
        url = quote(f"{self._base}/{name}".partition("#")[0], safe=_IN_A_URL)
        for _ in range(REDIRECTS + 1):
            answer = self._asked(url, most, wanted)
            if answer.leads_to is None:
                return answer
            url = urljoin(url, answer.leads_to)
        raise PermanentFault(Reason.SOURCE_UNAVAILABLE, f"it redirects more than {REDIRECTS} times")

    def _asked(self, url: str, most: int | None, wanted: str) -> _Answer:
        parts = _parts(url)
        if parts.scheme not in WEB or (parts.scheme == "http" and not self._settings.allow_http):
            raise PermanentFault(
                Reason.FORBIDDEN,
                f"{redacted(url)} is not an https URL"
                + ("; storage.https.allow_http allows http" if parts.scheme == "http" else ""),
            )
        refuse_literal(parts.hostname or "", self._settings.allow_private_hosts)
        loop = get_loop()
        opened = session(loop, self._settings.allow_private_hosts, self._access.place.ca_bundle)
        with turn(parts.netloc, self._settings):
            try:
                answer: _Answer = sync(loop, self._fetched, opened, url, most, wanted)
            except aiohttp.ClientConnectorCertificateError as fault:
                raise PermanentFault(
                    Reason.FORBIDDEN, f"the certificate of {parts.netloc} is not trusted: {fault}"
                ) from fault
            except aiohttp.ClientError as fault:
                raise _cause_of(fault) from fault
            except TimeoutError as fault:
                raise OSError(f"no whole answer within {self._settings.timeout_s:g} s") from fault
        return answer

    async def _fetched(self, opened: Any, url: str, most: int | None, wanted: str) -> _Answer:
        limits = aiohttp.ClientTimeout(
            total=self._settings.timeout_s, sock_connect=STALL_S, sock_read=STALL_S
        )
        headers = {"Range": wanted} if wanted else {}
        known = URL(url, encoded=True)
        async with opened.get(known, headers=headers, allow_redirects=False, timeout=limits) as answer:
            if answer.status in _REDIRECT and "Location" in answer.headers:
                return _Answer(answer.headers["Location"], answer.headers)
            if answer.status not in (200, 206):
                if answer.status in _BUSY and (wait_s := _seconds(answer.headers.get("Retry-After"))):
                    await asyncio.to_thread(hold, _parts(url).netloc, wait_s)
                raise fault_of_status(answer.status, f"the host answered {answer.status} {answer.reason}")
            coding = answer.headers.get("Content-Encoding", "identity").lower()
            if coding not in ("identity", ""):
                raise PermanentFault(
                    Reason.UNSUPPORTED, f"the host compressed it ({coding}) although this was not requested"
                )
            data = await self._body(answer, most)
            return _Answer(None, answer.headers, answer.status == 206, data)

    async def _body(self, answer: Any, most: int | None) -> bytes:
        limit = self._settings.max_bytes
        announced = answer.content_length or 0
        if most is None and announced > limit:
            raise _too_large(f"{announced} bytes", limit)
        data = bytearray()
        while most is None or len(data) < most:
            chunk = await answer.content.read(CHUNK)
            if not chunk:
                break
            data += chunk
            if len(data) > limit:
                raise _too_large(f"more than {limit} bytes", limit)
        if most is not None:
            answer.close()  # the rest is not wanted
        return bytes(data)


def _too_large(what: str, limit: int) -> PermanentFault:
    return PermanentFault(
        Reason.TOO_LARGE, f"it has {what}, and storage.https.max_bytes is {limit}; raise that to read it"
    )


def _cause_of(fault: Exception) -> OSError:
    """Our PermanentFault behind an error of aiohttp's, or a transient error."""
    cause: BaseException | None = fault
    while cause is not None:
        if isinstance(cause, PermanentFault):
            return cause
        cause = cause.__cause__
    if isinstance(fault, aiohttp.InvalidURL):
        return PermanentFault(Reason.SOURCE_MISSING, "it is not a URL")
    if isinstance(fault, aiohttp.ClientPayloadError):
        return ShortBody(f"the body broke off: {fault}")
    # the host may have written pages into the message
    return OSError(str(fault).partition("\n")[0][:200] or type(fault).__name__)


def _parts(url: str) -> Any:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # raises for what is no port
    except ValueError as wrong:
        raise PermanentFault(Reason.SOURCE_MISSING, f"it is not a URL ({wrong})") from wrong
    return parts


def _etag(headers: Any) -> str:
    """What changes with the content, according to the host; "" if it says nothing."""
    if tag := headers.get("ETag", "").removeprefix("W/").strip('"'):
        return str(tag)
    modified = headers.get("Last-Modified")
    # for a part, Content-Length is the part's size, and Content-Range ends with the whole's
    size = headers.get("Content-Range", "").rpartition("/")[2] or headers.get("Content-Length", "?")
    return f"{modified}, {size} bytes" if modified else ""


def _seconds(text: str | None) -> float:
    """How long a Retry-After asks to wait: seconds, or the time until a date; 0 for anything else."""
    if text is None:
        return 0.0
    if text.strip().isdecimal():
        return float(text)
    try:
        until = parsedate_to_datetime(text)
        return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    except ValueError:
        return 0.0
