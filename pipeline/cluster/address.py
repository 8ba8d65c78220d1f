"""The address of a Ray cluster, HOST:PORT, and whether it is safe to use what listens there."""

import os
from urllib.parse import urlsplit

from pipeline.errors import UsageError

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def host_and_port(address: str) -> tuple[str | None, int | None]:
    """The two parts of HOST:PORT, each None if it is missing or unsound; [::1]:PORT has the host ::1."""
    try:
        place = urlsplit(f"//{address}")
    except ValueError:
        return None, None
    try:
        return place.hostname, place.port
    except ValueError:
        return place.hostname, None


def refuse_unauthenticated(host: str | None, user: str, place: str, remedy: str) -> None:
    """Raises UsageError for a cluster on another machine without token authentication.

    `user` would use the cluster at `place`; `remedy` is what to do to use it all the same.
    """
    if host not in _LOOPBACK and os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
        raise UsageError(
            f"{user} would use the Ray cluster at {place} without token authentication; set "
            f"RAY_AUTH_MODE=token on it and here, or {remedy}"
        )
