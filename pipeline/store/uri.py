"""Which places may be named, and how they are written down.

A location is `scheme`, `root` and nothing else: after the scheme every character is taken as it is, so that
spaces, %, #, ? and newlines in names pass through (fsspec's own parsing would unquote, cut or chain them).
"""

import ipaddress
import os
import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from pipeline.errors import UsageError

SCHEMES = ("file", "s3", "gs")
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://(.*)$", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SECRETS = re.compile(
    r"""(?<=://)[^/@\s]*@
    |(?<=[?&])(?:X-(?:Amz|Goog)-[\w-]+|[\w-]*(?:key|token|secret|sig|passw|credential)[\w-]*)=[^&\s]*""",
    re.IGNORECASE | re.VERBOSE,
)


@dataclass(frozen=True)
class Location:
    """A place under an allowed scheme; `root` is an absolute path or `bucket/prefix`, no slash at its end."""

    scheme: str
    root: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.root}"

    @property
    def bucket(self) -> str:
        return self.root.partition("/")[0]

    @property
    def prefix(self) -> str:
        return self.root.partition("/")[2]


def location(text: str) -> Location:
    """The place that a URL or a plain path names; a relative path starts at the working directory, ~ at home.

    Raises: UsageError for another scheme, a chained URL, credentials in it, or a link-local host.
    """
    match = _SCHEME.match(text)
    if "::" in text and "://" in text:
        raise UsageError(
            f"{redacted(text)} chains URLs with '::', which is not allowed; name the place itself"
        )
    if match is None:
        if not text:
            raise UsageError("the path is empty; name a folder or a URL such as s3://bucket/prefix")
        home_expanded = os.path.expanduser(text)  # noqa: PTH111  # as shells do, it leaves ~stranger alone
        return Location("file", os.path.normpath(Path(home_expanded).absolute()).rstrip("/"))
    scheme, rest = match[1].lower(), match[2]
    if scheme not in SCHEMES:
        near = get_close_matches(scheme, SCHEMES, 1)
        hint = f"; did you mean {near[0]}://?" if near else ""
        raise UsageError(f"{redacted(text)} is not a file, s3 or gs URL{hint}")
    if scheme == "file":
        if not rest.startswith("/"):
            raise UsageError(f"{redacted(text)} names a host; a file URL reads file:///absolute/path")
        return Location("file", rest.rstrip("/"))
    _refuse_unsafe_bucket(text, rest.partition("/")[0])
    return Location(scheme, rest.rstrip("/"))


def split_uri(uri: str) -> tuple[Location, str]:
    """The whole store (a bucket, or the disk) and the name in it of an image's uri, taken as it is."""
    match = _SCHEME.match(uri)
    if match is None or match[1] not in SCHEMES:
        raise UsageError(f"{redacted(uri)} is not a file, s3 or gs URI")
    scheme, rest = match[1], match[2]
    root, _, name = rest.partition("/")
    return Location(scheme, root), name


def redacted(text: str) -> str:
    """The text on one line, without user names, passwords and signatures: what messages and logs may show."""
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], _SECRETS.sub("***", text))


def _refuse_unsafe_bucket(text: str, bucket: str) -> None:
    if "@" in bucket or ":" in bucket:
        raise UsageError(
            f"{redacted(text)} carries credentials or a port; set them in the environment "
            "(AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL) and name only the bucket"
        )
    if not bucket:
        raise UsageError(f"{redacted(text)} names no bucket; it should read s3://bucket/prefix")
    if _is_link_local(bucket):
        raise UsageError(f"{redacted(text)} names a link-local host, not a bucket")


def _is_link_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_link_local
    except ValueError:
        return False


def refuse_overlap(source: Location, output: Location) -> None:
    """Raises UsageError where the output lies inside the input, or the input inside the output."""
    if source.scheme != output.scheme:
        return
    inner, outer = f"{output.root}/", f"{source.root}/"
    if source.scheme == "file":
        inner, outer = f"{os.path.realpath(output.root)}/", f"{os.path.realpath(source.root)}/"
    if inner.startswith(outer) or outer.startswith(inner):
        raise UsageError(f"the output {output} and the input {source} lie inside each other; keep them apart")
