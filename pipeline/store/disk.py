"""A folder on a disk as a store of whole, immutable objects.

Objects appear under their name only when they are whole and on the medium: they are written beside it under a
temporary name, synced, then linked (fails where the name is taken) or renamed (replaces it).
"""

import errno
import os
import re
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.store.objects import Entry, Got, NoPutIfAbsent, is_hidden

PAGE = 1000
TEMPORARY = ".tmp-"  # hidden, and not *.parquet: no reader's glob takes it for an object
# As _written_beside names it.
_TEMPORARY_NAME = re.compile(rf"(?<![^/]){re.escape(TEMPORARY)}([^/]+)-[0-9a-f]{{8}}\Z")


def whole_name(name: str) -> str:
    """The object that a temporary file was to become; the name itself if it is no temporary file's."""
    return _TEMPORARY_NAME.sub(r"\1", name)


class Disk:
    """The folder `root`; names are relative to it and separated by '/'."""

    def __init__(self, root: str) -> None:
        self.root = Path(root or "/")

    def pages(self, prefix: str, hidden: bool = True) -> Iterator[list[Entry]]:
        page: list[Entry] = []
        for entry in self._entries(self.root / prefix, f"{prefix}/" if prefix else "", hidden):
            page.append(entry)
            if len(page) == PAGE:
                yield page
                page = []
        if page:
            yield page

    def info(self, name: str) -> Entry | None:
        path = self.root / name
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return _entry(name, found) if path.is_file() else None

    def get(self, name: str) -> Got:
        with (self.root / name).open("rb") as file:
            found = os.fstat(file.fileno())
            return Got(file.read(), _entry(name, found).etag)

    def get_range(self, name: str, start: int, end: int) -> bytes:
        with (self.root / name).open("rb") as file:
            file.seek(start)
            return file.read(end - start)

    def create(self, name: str, data: bytes) -> bool:
        target = self.root / name
        with _written_beside(target, data) as temporary:
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
        target = self.root / name
        with _written_beside(target, data) as temporary:
            temporary.replace(target)
        _sync_folder(target.parent)

    def delete(self, name: str) -> None:
        (self.root / name).unlink(missing_ok=True)

    def _entries(self, folder: Path, prefix: str, hidden: bool) -> Iterator[Entry]:
        """Every file below, in the byte order of whole names, as an object store lists them.

        A link to a folder is not entered, which could go round in circles.
        """
        try:
            with os.scandir(folder) as found:
                children = sorted(
                    (child for child in found if hidden or not is_hidden(child.name)),
                    key=lambda child: child.name + "/" * child.is_dir(follow_symlinks=False),
                )
        except FileNotFoundError:
            return
        for child in children:
            name = prefix + child.name
            if child.is_dir(follow_symlinks=False):
                yield from self._entries(folder / child.name, name + "/", hidden)
            elif listed := _listed(child, name):
                yield listed


def _listed(child: os.DirEntry[str], name: str) -> Entry | None:
    """What a file, or a link to one, is listed as; None for a link to a folder, a socket and the like.

    A link that leads nowhere, round in a circle or where nobody may look is listed as an empty file: what is
    wrong with it is for whoever reads it to tell.
    """
    try:
        found = child.stat()
    except OSError as fault:
        if child.is_symlink():
            return Entry(name, 0, "")
        if isinstance(fault, FileNotFoundError):
            return None  # deleted since the folder was read
        raise
    return _entry(name, found) if stat.S_ISREG(found.st_mode) else None


def _entry(name: str, found: os.stat_result) -> Entry:
    return Entry(name, found.st_size, f"{found.st_mtime_ns:x}-{found.st_size:x}")


@contextmanager
def _written_beside(target: Path, data: bytes) -> Iterator[Path]:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{TEMPORARY}{target.name}-{uuid.uuid4().hex[:8]}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """A new name survives a power cut only once its folder is on the medium too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as fault:
        if fault.errno != errno.EINVAL:  # what some network file systems say, which sync files alone
            raise
    finally:
        os.close(handle)
