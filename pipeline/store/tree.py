"""The files below a folder on a disk, in the byte order of their whole names, as an object store lists them.

A link to a file is listed under its own name. A link to a folder inside the root is not entered, since that
folder is listed at its own place. A link that leads elsewhere is marked, or followed if that is asked for.
Every folder outside the root is entered once, so circular links end.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pipeline.store.objects import Entry, Wanted, is_hidden


class Tree:
    """The folder `root`.

    `hidden` says whether names that start with a dot are listed, `follow_links` whether links that lead out
    of the root are followed. Folders without a `wanted` name are not entered.
    """

    def __init__(self, root: Path, hidden: bool, follow_links: bool, wanted: Wanted | None = None) -> None:
        self._root, self._hidden, self._follow_links, self._wanted = root, hidden, follow_links, wanted
        self._real_root = Path(os.path.realpath(root))
        # device and inode of each folder that a link must not enter again
        self._entered: set[tuple[int, int]] = set()

    def entries(self, prefix: str) -> Iterator[Entry]:
        """The files below the folder `prefix` of the root; none if there is no such folder."""
        self._entered = {_identity(self._real_root)} if _is_folder(self._real_root) else set()
        yield from self._below(self._root / prefix, f"{prefix}/" if prefix else "", is_outside=False)

    def _below(self, folder: Path, prefix: str, is_outside: bool) -> Iterator[Entry]:
        try:
            if is_outside:
                if (identity := _identity(folder)) in self._entered:
                    return
                self._entered.add(identity)
            with os.scandir(folder) as listing:
                children = sorted(
                    (child for child in listing if self._hidden or not is_hidden(child.name)),
                    key=lambda child: child.name + "/" * self._may_enter(child),
                )
        except FileNotFoundError:
            return
        for child in children:
            path, name = folder / child.name, prefix + child.name
            if child.is_symlink():
                yield from self._linked(child, path, name)
            elif child.is_dir():
                if self._wanted is None or self._wanted.may_be_below(name):
                    yield from self._below(path, f"{name}/", is_outside)
            elif entry := _file_entry(child, name):
                yield entry

    def _may_enter(self, child: os.DirEntry[str]) -> bool:
        """Whether the child's own children may be listed, so that it sorts as `name/`."""
        try:
            return child.is_dir(follow_symlinks=self._follow_links)
        except OSError:  # a link that leads in a circle, or to a place that may not be read
            return False

    def _linked(self, link: os.DirEntry[str], path: Path, name: str) -> Iterator[Entry]:
        """What a link stands for: a file, the files of a folder elsewhere, or only itself, marked."""
        target = Path(os.path.realpath(path))
        is_inside = target.is_relative_to(self._real_root)
        if not _is_folder(target):
            if entry := _file_entry(link, name):
                yield replace(entry, leads_out=not is_inside and not self._follow_links)
            return
        is_listed = is_inside and (
            self._hidden or not is_hidden(target.relative_to(self._real_root).as_posix())
        )
        if self._follow_links and not is_listed:
            yield from self._below(path, f"{name}/", is_outside=True)
        elif not is_listed:
            yield Entry(name, 0, "", leads_out=True)


def entry_of(name: str, status: os.stat_result) -> Entry:
    """The entry of a file; its etag changes with its time and size."""
    return Entry(name, status.st_size, f"{status.st_mtime_ns:x}-{status.st_size:x}")


def _file_entry(child: os.DirEntry[str], name: str) -> Entry | None:
    """The entry of a file, or of a link to one; None for a socket and the like.

    A link that leads nowhere, in a circle or to a place that may not be read is listed as an empty file:
    reading it then says what is wrong.
    """
    try:
        status = child.stat()
    except OSError as fault:
        if child.is_symlink():
            return Entry(name, 0, "")
        if isinstance(fault, FileNotFoundError):
            return None  # deleted since the folder was read
        raise
    return entry_of(name, status) if stat.S_ISREG(status.st_mode) else None


def _is_folder(path: Path) -> bool:
    """Whether it is a folder; False if nobody may look, where `Path.is_dir` raises."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except OSError:
        return False


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino
