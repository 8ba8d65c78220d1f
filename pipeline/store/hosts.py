"""Which hosts are never talked to: link-local ones, where clouds hand credentials to whoever asks.

A host is judged by the addresses it stands for, so that another spelling of an address, or a name for it, is
no way around. Private addresses are allowed: an object store inside a company is what they are for.
"""

import ipaddress
import socket

from pipeline.errors import UsageError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
METADATA_V6 = ipaddress.ip_address("fd00:ec2::254")  # serves what 169.254.169.254 does, but is not link-local


def refuse_link_local(host: str, named_by: str) -> None:
    """Raises UsageError where the host stands for a link-local address; `named_by` says who named it."""
    if any(address.is_link_local or address == METADATA_V6 for address in addresses(host)):
        raise UsageError(
            f"{named_by} leads to the link-local host {host}, which holds this machine's credentials and no "
            "data; name another"
        )


def is_this_machine(host: str) -> bool:
    """Whether the host stands for loopback addresses alone."""
    found = addresses(host)
    return bool(found) and all(address.is_loopback for address in found)


def addresses(host: str) -> list[Address]:
    """What the host stands for; nothing where only a proxy can say."""
    try:
        answers = socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)
    except (OSError, UnicodeError):  # UnicodeError: no host has such a name
        return []
    found = [ipaddress.ip_address(str(answer[4][0]).partition("%")[0]) for answer in answers]
    return [getattr(address, "ipv4_mapped", None) or address for address in found]
