"""Which hosts are never contacted: link-local ones, where clouds hand out credentials to whoever asks.

A host is judged by the addresses that it resolves to, so neither another spelling of an address nor a name
for it passes. Object stores may have private addresses, since companies run them there. Hosts of images on
the web may not (pipeline/store/web_session.py), since a list may come from anyone.
"""

import ipaddress
import socket
from urllib.parse import urlsplit

from pipeline.errors import UsageError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# Serves what 169.254.169.254 serves, but is not link-local.
METADATA_V6 = ipaddress.ip_address("fd00:ec2::254")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # leads to the IPv4 address in its last 32 bits


def refuse_link_local(host: str, named_by: str) -> None:
    """Raises UsageError if the host has a link-local address; `named_by` says who named it."""
    if any(map(is_link_local, addresses(host))):
        raise UsageError(
            f"{named_by} leads to the link-local host {host}, which serves this machine's credentials, not "
            "data; name another host"
        )


def is_link_local_address(text: str) -> bool:
    """Whether the text is a link-local address, in any spelling; no name is looked up."""
    return any(map(is_link_local, addresses(text, socket.AI_NUMERICHOST)))


def is_public(address: Address) -> bool:
    """Whether the address is one of the open internet: not private, loopback, link-local or reserved."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast


def site_of(url: str) -> str:
    """Scheme and host of a URL, which may be shown even if its path is a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}"


def is_this_machine(host: str) -> bool:
    """Whether the host has only loopback addresses."""
    known = addresses(host)
    return bool(known) and all(address.is_loopback for address in known)


def addresses(host: str, flags: int = 0) -> list[Address]:
    """The host's addresses; none if only a proxy can resolve it. `flags` are those of getaddrinfo."""
    try:
        answers = socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP, flags=flags)
    except (OSError, UnicodeError):  # UnicodeError: no host has such a name
        return []
    every = [ipaddress.ip_address(str(answer[4][0]).partition("%")[0]) for answer in answers]
    return [getattr(address, "ipv4_mapped", None) or address for address in every]


def is_link_local(address: Address) -> bool:
    """Whether clouds may hand out credentials at the address."""
    return address.is_link_local or address == METADATA_V6
