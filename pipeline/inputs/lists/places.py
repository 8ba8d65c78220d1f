"""The uri of the image that a line of a list names; it depends on where the list is."""

import posixpath
import re
from dataclasses import dataclass
from functools import lru_cache

from pipeline.errors import UsageError
from pipeline.store.uri import Location, location

_URI = re.compile(r"(?P<store>(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://[^/]*)/?(?P<name>.*)", re.DOTALL)
_ON_WORKERS = (
    "it names a file on a disk; only a list on a disk may, since workers would look on their own disks"
)


@dataclass(frozen=True)
class ListPlace:
    """Where a list is."""

    folder: Location  # where relative paths start
    output: Location | None = None  # where no image may lie

    def uri(self, text: str) -> str:
        """The uri of the image that `text` in a list here names.

        A path starts at the folder of the list; `~` is not expanded. A list in an object store may not name
        files on a disk, since workers would read them from their own disks.
        Raises: ValueError, with the reason.
        """
        if "\0" in text or not text.strip():
            raise ValueError("it names nothing")
        if text.endswith("/") and not text.lower().startswith(("http://", "https://")):
            raise ValueError("it names a folder, and a list names images")
        match = _URI.match(text)
        uri = self._of_path(text) if match is None else _of_uri(text, match)
        if uri.startswith("file:") and self.folder.scheme != "file":
            raise ValueError(_ON_WORKERS)
        if self.output is not None and uri.startswith(f"{self.output}/"):
            raise ValueError("it is inside the output; keep images and output in separate places")
        return uri

    def _of_path(self, path: str) -> str:
        folder = self.folder.root
        if self.folder.scheme == "file":
            whole = posixpath.normpath(posixpath.join(folder or "/", path))
            return Location("file", f"/{whole.lstrip('/')}").uri()
        if path.startswith("/"):
            raise ValueError(_ON_WORKERS)
        store, _, prefix = folder.partition("/")
        whole = posixpath.normpath(posixpath.join(prefix, path))
        if whole.split("/")[0] in ("..", "."):
            raise ValueError(f"it leads out of {self.folder.scheme}://{store}")
        return f"{self.folder.scheme}://{store}/{whole}"


def _of_uri(text: str, match: re.Match[str]) -> str:
    if match["scheme"].lower() == "file":
        try:
            return str(location(text))
        except UsageError as fault:
            raise ValueError(str(fault)) from None
    store = _store(match["store"])
    if not match["name"]:
        raise ValueError("it names a whole bucket, and a list names images")
    return f"{store}/{match['name']}"


@lru_cache(maxsize=4096)
def _store(text: str) -> str:
    """The bucket or host as a uri. Raises: ValueError if there can be none."""
    try:
        return str(location(text))
    except UsageError as fault:
        raise ValueError(str(fault)) from None
