"""Which locations are allowed, and how they are written as text.

A location is `scheme`, `root` and nothing else: after the scheme every character stands for itself, so
spaces, %, #, ? and newlines in names pass through (fsspec's own parsing would unquote, cut or chain them).

A path on a disk is bytes. One that is not UTF-8 cannot stand in a URI as it is, so it is percent-encoded
after `file://localhost`, which names the same machine (RFC 8089) and is used for nothing else.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

from pipeline.errors import UsageError
from pipeline.store.hosts import is_link_local_address
from pipeline.suggestion import suggestion

SCHEMES = ("file", "s3", "gs", "az", "https", "http")
WEB = ("https", "http")
_ALIASES = {"abfs": "az"}
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://(.*)$", re.DOTALL)
_NAMED = "file, s3, gs, az or https"
_ENCODED = "//localhost/"  # between `file:` and a percent-encoded path
# Control characters, other line ends, what turns the direction of writing, and what stands for the bytes of a
# path that is not UTF-8.
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
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
        return self.uri()

    def uri(self, name: str = "") -> str:
        """The URI of the place, or of the name below it; unescaped if it is UTF-8."""
        path = f"{self.root}/{name}" if name else self.path
        uri = f"{self.scheme}://{path}"
        return uri if _is_utf_8(uri) else f"file:{_ENCODED}{quote_from_bytes(os.fsencode(path))[1:]}"

    @property
    def path(self) -> str:
        """`root`, with its slash if it is the root of the disk."""
        return self.root or "/"

    @property
    def bucket(self) -> str:
        return self.root.partition("/")[0]

    @property
    def prefix(self) -> str:
        return self.root.partition("/")[2]


def location(text: str) -> Location:
    """The place that a URL or a plain path names; a relative path starts at the working directory, ~ at home.

    Raises: UsageError for another scheme, a chained URL, credentials in a URL, or a link-local host.
    """
    match = _SCHEME.match(text)
    if "::" in text and "://" in text:
        raise UsageError(
            f"{redacted(text)} chains URLs with '::', which is not allowed; name the place itself"
        )
    if match is None:
        if not text:
            raise UsageError("the path is empty; name a folder or a URL such as s3://bucket/prefix")
        home_expanded = os.path.expanduser(text)  # noqa: PTH111  # like shells, it leaves an unknown ~user alone
        try:
            return Location("file", os.path.normpath(Path(home_expanded).absolute()).rstrip("/"))
        except FileNotFoundError:
            raise UsageError(
                f"{text} is relative to the working directory, which was deleted; change to another folder, "
                "or name an absolute path"
            ) from None
    scheme, rest = _ALIASES.get(match[1].lower(), match[1].lower()), match[2]
    if scheme not in SCHEMES:
        raise UsageError(f"{redacted(text)} is not a {_NAMED} URL{suggestion(scheme, SCHEMES)}")
    if scheme in WEB:
        _refuse_unsafe_host(text, rest.partition("/")[0])
        return Location(scheme, rest)  # to a web server a slash at the end means something
    if scheme == "file":
        rest = _decoded(text) or rest
        if not rest.startswith("/"):
            raise UsageError(f"{redacted(text)} names a host; write a file URL as file:///absolute/path")
        return Location("file", rest.rstrip("/"))
    _refuse_unsafe_bucket(text, rest.partition("/")[0])
    return Location(scheme, rest.rstrip("/"))


def split_uri(uri: str) -> tuple[Location, str]:
    """Splits an image's uri into its whole store (a bucket, or the disk) and the image's name in it."""
    match = _SCHEME.match(uri)
    scheme = match[1].lower() if match is not None else ""
    if match is None or _ALIASES.get(scheme, scheme) not in SCHEMES:
        raise UsageError(f"{redacted(uri)} is not a {_NAMED} URI")
    scheme, rest = _ALIASES.get(scheme, scheme), _decoded(uri) or match[2]
    root, _, name = rest.partition("/")
    if scheme in WEB:
        _refuse_unsafe_host(uri, root)
    return Location(scheme, root), name


def _decoded(uri: str) -> str | None:
    """The path of a percent-encoded file URI, None for another URI."""
    scheme, _, rest = uri.partition(":")
    if scheme.lower() != "file" or not rest.startswith(_ENCODED):
        return None
    return os.fsdecode(unquote_to_bytes(rest[len(_ENCODED) - 1 :]))


def as_text(path: str) -> str:
    """The path or URL itself; a path that is not UTF-8 as a percent-encoded URL."""
    return path if _is_utf_8(path) else str(location(path))


def _is_utf_8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def redacted(text: str) -> str:
    """The text on one line, without user names, passwords and signatures: what messages and logs may show."""
    return UNPRINTABLE.sub(_escape, _SECRETS.sub("***", text))


def printable(text: str) -> str:
    """The text, of one or more lines, without characters that would steer a terminal."""
    return UNPRINTABLE.sub(lambda match: match[0] if match[0] in "\n\t" else _escape(match), text)


def _escape(match: re.Match[str]) -> str:
    return repr(match[0])[1:-1]


def has_secret(text: str) -> bool:
    """Whether the text holds a user name, a password or a signature that `redacted` would take out."""
    return _SECRETS.search(text) is not None


def _refuse_unsafe_host(text: str, host: str) -> None:
    if "@" in host:
        raise UsageError(f"{redacted(text)} contains credentials, which the dataset would store; remove them")
    if not host or not _is_utf_8(text):
        raise UsageError(f"{redacted(text)} names no host; write it as https://host/image.jpg")


def _refuse_unsafe_bucket(text: str, bucket: str) -> None:
    if "@" in bucket or ":" in bucket:
        raise UsageError(
            f"{redacted(text)} contains credentials or a port; set them in the environment "
            "(AWS_ACCESS_KEY_ID) and storage.endpoint_url in a job file, and name only the bucket"
        )
    if not _is_utf_8(text):
        raise UsageError(f"{redacted(text)} is not UTF-8, as names in a bucket must be")
    if not bucket:
        raise UsageError(f"{redacted(text)} names no bucket; write it as s3://bucket/prefix")
    if is_link_local_address(bucket):
        raise UsageError(f"{redacted(text)} names a link-local host, not a bucket")


def refuse_overlap(source: Location, output: Location) -> None:
    """Raises UsageError if the output lies inside the input, or the input inside the output."""
    is_within = _is_folder_within if source.scheme == "file" else _is_prefix_within
    if source.scheme == output.scheme and (
        is_within(output.root, source.root) or is_within(source.root, output.root)
    ):
        raise UsageError(
            f"the output {redacted(str(output))} and the input {redacted(str(source))} are the same place, "
            "or one is inside the other; choose separate places"
        )


def _is_prefix_within(inner: str, outer: str) -> bool:
    return f"{inner}/".startswith(f"{outer}/")


def _is_folder_within(inner: str, outer: str) -> bool:
    """Whether a path is the folder `outer` or lies below it, whatever links and spellings lead there."""
    path, folder = Path(os.path.realpath(inner or "/")), Path(os.path.realpath(outer or "/"))
    return any(above == folder or _is_same_file(above, folder) for above in (path, *path.parents))


def _is_same_file(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file: a disk may ignore case, or be mounted twice."""
    try:
        return one.samefile(other)
    except OSError:  # one of them does not exist yet
        return False
