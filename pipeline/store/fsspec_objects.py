"""Any other fsspec file system to read images from: Google Cloud Storage, with the extra `gcs` installed.

For reading only: whether an output is safe there (put-if-absent, listings that are never old) is not tested.
"""

import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.store.objects import Entry, Got, NoPutIfAbsent, Wanted, is_folder_marker, is_hidden

PAGE = 1000
_READ_ONLY = "it is only read here"
_NOT_OS_ERRORS = {"gcsfs", "google", "aiohttp"}  # packages whose faults of the way to a store are no OSError


class FsspecObjects:
    """The objects below `root` of an fsspec file system.

    fsspec lists a folder at a time, so memory holds the largest folder, not the whole listing.
    """

    def __init__(self, filesystem: Any, root: str) -> None:
        self._files = filesystem
        self._root = root

    def pages(
        self, prefix: str, hidden: bool = True, follow_links: bool = False, wanted: Wanted | None = None
    ) -> Iterator[list[Entry]]:
        base = f"{self._root}/{prefix}".rstrip("/")
        with _as_os_error():
            for _, _, files in self._files.walk(base, detail=True, on_error=_raise_unless_gone):
                infos = sorted(files.values(), key=lambda info: info["name"])
                # an object with the folder's own name comes first in its listing, but is not in it
                entries = [self._entry(info) for info in infos if self._is_below(base, info["name"])]
                kept = [
                    entry
                    for entry in entries
                    if not is_folder_marker(entry) and (hidden or not is_hidden(entry.name))
                ]
                for start in range(0, len(kept), PAGE):
                    yield kept[start : start + PAGE]

    def info(self, name: str) -> Entry | None:
        try:
            with _as_os_error():
                info = self._files.info(self._path(name))
        except FileNotFoundError:
            return None
        return self._entry(info) if info["type"] == "file" else None

    def get(self, name: str) -> Got:
        # The etag is read first: content that changes in between is caught by the next look at it.
        with _as_os_error():
            etag = self._entry(self._files.info(self._path(name))).etag
            return Got(self._files.cat_file(self._path(name)), etag)

    def get_range(self, name: str, start: int, end: int) -> bytes:
        with _as_os_error():
            data: bytes = self._files.cat_file(self._path(name), start=start, end=end)
        return data

    def create(self, name: str, data: bytes) -> bool:
        raise NoPutIfAbsent(_READ_ONLY)

    def publish(self, name: str, data: bytes) -> None:
        raise NoPutIfAbsent(_READ_ONLY)

    def publish_chunks(self, name: str, chunks: Iterable[bytes]) -> None:
        raise NoPutIfAbsent(_READ_ONLY)

    def delete(self, name: str) -> None:
        raise NoPutIfAbsent(_READ_ONLY)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    @staticmethod
    def _is_below(base: str, path: str) -> bool:
        return path.strip("/").startswith(f"{base.strip('/')}/")

    def _entry(self, info: dict[str, Any]) -> Entry:
        name = info["name"].removeprefix("/").removeprefix(self._root.removeprefix("/") + "/")
        etag = str(info.get("etag") or info.get("md5Hash") or info.get("created") or "")
        return Entry(name, info["size"], etag)


def _raise_unless_gone(fault: OSError) -> None:
    """fsspec's `walk` would leave out every folder that it cannot list."""
    if not isinstance(fault, FileNotFoundError):
        raise fault


@contextmanager
def _as_os_error() -> Iterator[None]:
    """Lets the store's faults out as OSError, a refusal as PermissionError (gcsfs says "Forbidden: ...")."""
    try:
        yield
    except Exception as fault:
        is_refusal = getattr(fault, "code", None) in (401, 403) or str(fault).startswith("Forbidden")
        if is_refusal or type(fault).__name__ == "DefaultCredentialsError":  # of google.auth: there are none
            raise PermissionError(errno.EACCES, str(fault)) from fault
        if type(fault).__module__.partition(".")[0] in _NOT_OS_ERRORS:
            raise OSError(str(fault)) from fault
        raise
