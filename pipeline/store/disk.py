"""A folder on a disk as a store of whole, immutable objects.

An object appears under its name only when it is whole and on the medium: it is written beside it under a
temporary name, synced, then linked (which fails if the name is taken) or renamed (which replaces it).
"""

import errno
import os
import re
import stat
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import Reason
from pipeline.store.faults import PermanentFault
from pipeline.store.objects import Entry, Got, NoPutIfAbsent, Wanted
from pipeline.store.tree import Tree, entry_of

PAGE = 1000
# Hidden and without the suffix .parquet, so that no reader's glob matches it.
TEMPORARY = ".tmp-"
# As _written_beside names it.
_TEMPORARY_NAME = re.compile(rf"(?<![^/]){re.escape(TEMPORARY)}([^/]+)-[0-9a-f]{{8}}\Z")


def whole_name(name: str) -> str:
    """The object that a temporary file was to become; the name itself if it is not a temporary file's."""
    return _TEMPORARY_NAME.sub(r"\1", name)


class Disk:
    """The folder `root`; names are relative to it and separated by '/'."""

    def __init__(self, root: str) -> None:
        self.root = Path(root)

    def pages(
        self, prefix: str, hidden: bool = True, follow_links: bool = False, wanted: Wanted | None = None
    ) -> Iterator[list[Entry]]:
        page: list[Entry] = []
        for entry in Tree(self.root, hidden, follow_links, wanted).entries(prefix):
            page.append(entry)
            if len(page) == PAGE:
                yield page
                page = []
        if page:
            yield page

    def info(self, name: str) -> Entry | None:
        path = self.root / name
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return entry_of(name, status) if stat.S_ISREG(status.st_mode) else None

    def get(self, name: str) -> Got:
        with _opened(self.root / name) as file:
            status = os.fstat(file.fileno())
            # no more, since some files of the system do not say their size, and may have no end
            return Got(file.read(status.st_size), entry_of(name, status).etag)

    def get_range(self, name: str, start: int, end: int) -> Got:
        with _opened(self.root / name) as file:
            status = os.fstat(file.fileno())
            file.seek(start)
            return Got(file.read(max(0, end - start)), entry_of(name, status).etag)

    def create(self, name: str, data: bytes) -> bool:
        target = self._below_root(name)
        with _written_beside(target, [data]) as temporary:
            try:
                os.link(temporary, target)
            except FileExistsError:
                return False
            except OSError as fault:
                # ENOTSUP is EOPNOTSUPP on Linux, and another number on macOS
                if fault.errno in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
                    raise NoPutIfAbsent("the file system has no hard links") from fault
                raise
        _sync_folder(target.parent)
        return True

    def publish(self, name: str, data: bytes) -> None:
        self.publish_chunks(name, [data])

    def publish_chunks(self, name: str, chunks: Iterable[bytes]) -> None:
        target = self._below_root(name)
        with _written_beside(target, chunks) as temporary:
            temporary.replace(target)
        _sync_folder(target.parent)

    def delete(self, name: str) -> None:
        (self.root / name).unlink(missing_ok=True)

    def _below_root(self, name: str) -> Path:
        """The path to write. Raises: ValueError for a name that leads out of the folder."""
        if ".." in name.split("/") or name.startswith("/"):
            raise ValueError(f"the name {name!r} leads out of {self.root}")
        return self.root / name


def _opened(path: Path) -> BinaryIO:
    """The file, for reading.

    Raises: PermanentFault for a pipe, a socket or a device, which may block or have no end.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # to open a folder says itself what is wrong
        raise PermanentFault(Reason.NOT_AN_IMAGE, "it is no regular file but a pipe, a socket or a device")
    return path.open("rb")


@contextmanager
def _written_beside(target: Path, chunks: Iterable[bytes]) -> Iterator[Path]:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{TEMPORARY}{target.name}-{uuid.uuid4().hex[:8]}")
    try:
        with temporary.open("xb") as file:
            file.writelines(chunks)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Syncs the folder, without which a new name does not survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as fault:
        # some network file systems sync only files, and answer EINVAL for a folder
        if fault.errno != errno.EINVAL:
            raise
    finally:
        os.close(handle)
