"""Connects to web hosts at checked addresses only, whatever their names resolve to later.

A list of images may come from anyone, but its URLs are fetched from inside the user's network. So a name is
resolved here, every address is checked, and the connection goes to a checked address, while TLS verifies the
name. Proxies of the environment are not used: they would resolve the name again.
"""

import asyncio
import ipaddress
import os
import socket
import ssl
from functools import cache
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from pipeline.errors import Reason
from pipeline.store.faults import PermanentFault
from pipeline.store.hosts import is_link_local, is_public
from sam_core import __version__

USER_AGENT = f"sam-label/{__version__} (dataset labelling; one image a request)"


class CheckedResolver(AbstractResolver):
    """Resolves a name to its addresses, and refuses it if one of them is not allowed."""

    def __init__(self, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        try:
            known = await self._resolver.resolve(host, port, family)
        except OSError as fault:
            cause = fault.__cause__ or fault
            if isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME:
                raise PermanentFault(Reason.SOURCE_MISSING, f"there is no host {host}") from fault
            raise
        for one in known:
            refuse_address(host, one["host"], self._allow_private)
        return known

    async def close(self) -> None:
        await self._resolver.close()


def refuse_address(host: str, address: str, allow_private: bool) -> None:
    """Raises PermanentFault if images must not be fetched from the address of the host."""
    known = ipaddress.ip_address(address.partition("%")[0])
    known = getattr(known, "ipv4_mapped", None) or known
    if is_link_local(known) or not (allow_private or is_public(known)):
        raise PermanentFault(
            Reason.FORBIDDEN,
            f"{host} has the address {address}, which is not public; storage.https.allow_private_hosts "
            "allows private ones",
        )


def refuse_literal(host: str, allow_private: bool) -> None:
    """As `refuse_address` for a host that is itself an address, and so is never resolved."""
    try:
        answers = socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):  # a name
        return
    for answer in answers:
        refuse_address(host, str(answer[4][0]), allow_private)


@cache
def session(loop: asyncio.AbstractEventLoop, allow_private: bool, ca_bundle: str | None) -> Any:
    """The process's session with these settings, on the loop that runs its calls.

    A forked process has another loop, so it gets a session of its own.
    """
    context = ssl.create_default_context()
    if ca_bundle is not None:
        context.load_verify_locations(ca_bundle)

    async def opened() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            resolver=CheckedResolver(allow_private),
            use_dns_cache=False,
            ssl=context,
            limit=0,  # pipeline/store/host_turns.py has the limits
        )
        return aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,  # a kilobyte could become a gigabyte
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
        )

    return asyncio.run_coroutine_threadsafe(opened(), loop).result()


# A forked process has another loop, so it uses no session of its parent. Nothing may free those sessions,
# since aiohttp reports each one that was not closed: they stay in the cache, and this keeps it to the end.
os.register_at_fork(after_in_child=session.cache_info)
