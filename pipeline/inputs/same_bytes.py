"""Which images have the same bytes: the first by uri is labelled, the others are its duplicates.

Images are compared by length and MD5. A frame has its file's bytes, so it is compared only with frames of the
same number. An S3 listing has the MD5 of objects that were uploaded in one part, so these are not read; all
others are read once. If an object is encrypted with a KMS key, its etag only looks like an MD5, and no other
object counts as equal to it. An image that is empty or cannot be read has no duplicates: its row will say
what is wrong with it.
"""

import json
import re
import sqlite3
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import md5
from itertools import islice

from pipeline.containers.part import file_and_member
from pipeline.errors import ImageError, SamLabelError
from pipeline.images.fetch import ANY_PIXELS, FetchSettings, fetched
from pipeline.images.frame import frame_of
from pipeline.output.format.duplicates import Duplicate
from pipeline.output.format.manifest import ManifestRow
from pipeline.progress import Progress, silent
from pipeline.store.settings import Access

READERS = 16  # images in memory at once
_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Repeats:
    """How much of an input occurs more than once."""

    contents: int  # that several images have
    images: int  # beyond the first of each content
    bytes: int  # of these images


class SameBytes:
    """The images of a listing by content, in a database on the local disk, deleted with this object."""

    def __init__(
        self, rows: Iterable[ManifestRow], root: str | None, access: Access, progress: Progress = silent
    ) -> None:
        """Reads images whose MD5 is not listed. Raises: SamLabelError for a full disk; what `rows` raises."""
        self._database = sqlite3.connect("")  # a file of its own that sqlite removes
        settings = FetchSettings(root, access, ANY_PIXELS)  # images too large for a run are hashed too
        with _full_disk_reported():
            self._database.execute("create table image (content text, uri text, size int, fields text)")
            records = _records(rows, settings, progress)
            self._database.executemany("insert into image values (?, ?, ?, ?)", records)
            self._database.execute("create index by_content on image (content, uri)")

    def firsts(self) -> Iterator[ManifestRow]:
        """The image of each content whose uri is the first."""
        before = None
        for content, _, fields in self._by_content():
            if content != before:
                yield ManifestRow(*json.loads(fields))
            before = content

    def duplicates(self) -> Iterator[Duplicate]:
        """The other images of each content."""
        before, first = None, ""
        for content, uri, fields in self._by_content():
            if content != before:
                before, first = content, json.loads(fields)[0]
            else:
                yield Duplicate(uri, first)

    def repeats(self) -> Repeats:
        rows = self._database.execute(
            "select count(*), coalesce(sum(images - 1), 0), coalesce(sum((images - 1) * size), 0) from "
            "(select count(*) as images, max(size) as size from image group by content having count(*) > 1)"
        )
        return Repeats(*rows.fetchone())

    def _by_content(self) -> Iterator[tuple[str, str, str]]:
        with _full_disk_reported():
            yield from self._database.execute("select content, uri, fields from image order by content, uri")


def _records(
    rows: Iterable[ManifestRow], settings: FetchSettings, progress: Progress
) -> Iterator[tuple[str, str, int, str]]:
    rest, seen = iter(rows), 0
    with ThreadPoolExecutor(READERS) as threads:
        while chunk := list(islice(rest, READERS)):
            contents = threads.map(partial(_content, settings=settings), chunk)
            for row, (content, size) in zip(chunk, contents, strict=True):
                yield content, row.uri, size, json.dumps(row)
            seen += len(chunk)
            progress(seen, 0)


def _content(row: ManifestRow, settings: FetchSettings) -> tuple[str, int]:
    """A key that only images with the same bytes share, and the number of bytes."""
    own = f"of {row.image_id} alone"
    if row.size == 0:
        return own, 0
    is_member = file_and_member(row.uri)[1] != ""
    frame = frame_of(row.uri)
    of_frame = "" if frame is None else f" frame {frame}"
    if row.uri.startswith("s3://") and row.size > 0 and _MD5.fullmatch(row.etag) and not is_member:
        return f"{row.size} {row.etag}{of_frame}", row.size
    try:
        data = fetched(row._asdict(), settings).data
    except ImageError:
        return own, 0
    digest = md5(data, usedforsecurity=False).hexdigest()
    return f"{len(data)} {digest}{of_frame}" if data else own, len(data)


@contextmanager
def _full_disk_reported() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as fault:
        raise SamLabelError(
            f"images cannot be compared on the local disk: {fault}; set SQLITE_TMPDIR to a folder on a disk "
            "with room"
        ) from fault
