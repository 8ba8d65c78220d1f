"""Any other fsspec file system as a store: Google Cloud Storage, with the extra `gcs` installed."""

from collections.abc import Iterator
from typing import Any

from pipeline.objects import Entry, Got

PAGE = 1000


class FsspecObjects:
    """The objects below `root` of an fsspec file system.

    fsspec lists a folder at a time, so memory holds the largest folder, not the whole listing.
    """

    def __init__(self, filesystem: Any, root: str) -> None:
        self._files = filesystem
        self._root = root

    def pages(self, prefix: str) -> Iterator[list[Entry]]:
        base = f"{self._root}/{prefix}".rstrip("/")
        for _, _, files in self._files.walk(base, detail=True):
            found = sorted(files.values(), key=lambda info: info["name"])
            for start in range(0, len(found), PAGE):
                yield [self._entry(info) for info in found[start : start + PAGE]]

    def info(self, name: str) -> Entry | None:
        try:
            info = self._files.info(self._path(name))
        except FileNotFoundError:
            return None
        return self._entry(info) if info["type"] == "file" else None

    def get(self, name: str) -> Got:
        # The etag is read first: content that changes in between is caught by the next look at it.
        etag = self._entry(self._files.info(self._path(name))).etag
        return Got(self._files.cat_file(self._path(name)), etag)

    def get_range(self, name: str, start: int, end: int) -> bytes:
        data: bytes = self._files.cat_file(self._path(name), start=start, end=end)
        return data

    def create(self, name: str, data: bytes) -> bool:
        try:
            self._files.pipe_file(self._path(name), data, mode="create")
        except FileExistsError:
            return False
        return True

    def publish(self, name: str, data: bytes) -> None:
        self._files.pipe_file(self._path(name), data)

    def delete(self, name: str) -> None:
        try:
            self._files.rm_file(self._path(name))
        except FileNotFoundError:
            return

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _entry(self, info: dict[str, Any]) -> Entry:
        name = info["name"].removeprefix("/").removeprefix(self._root.removeprefix("/") + "/")
        etag = str(info.get("etag") or info.get("md5Hash") or info.get("created") or "")
        return Entry(name, info["size"], etag)
