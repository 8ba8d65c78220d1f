"""The frozen, sorted listing of the input: every image that has a row in the dataset or will have one.

It is written once as Parquet parts, which are named for the run that wrote them. Not every store lists in
order, so rows stream through an external sort: a million names take little more memory than a hundred.
"""

import heapq
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import count, groupby
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from pipeline.output.format.names import part_name
from pipeline.output.format.parquet import parquet_bytes, parquet_table
from pipeline.store.local_disk import local_disk
from pipeline.store.storage import Store

MANIFEST_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("etag", pa.string(), nullable=False),
        pa.field("offset", pa.int64()),
        pa.field("extra", pa.string()),
        pa.field("source_id", pa.string()),
    ]
)
_ADDED_LATER = [MANIFEST_SCHEMA.field(name) for name in ("offset", "extra", "source_id")]
ROWS_A_PART = 50_000  # 20 MB as Python rows: what one sorted chunk holds in memory; 4 MB as an object
ROWS_A_LINE = 256  # so 256 files merged at once hold 25 MB
MOST_OPEN = 256  # files merged at once: a process may open 1,024, and 100 million names make 2,000


class ManifestRow(NamedTuple):
    """One image to label."""

    image_id: str
    uri: str
    size: int  # UNKNOWN_SIZE until it is fetched
    etag: str  # "" until it is fetched, if the size is unknown
    offset: int | None = None  # of its first byte in the file that contains it
    extra: str | None = None  # the columns of its list that the dataset keeps, as a JSON object
    source_id: str | None = None  # its id in the list that names it; image_id is then made from it

    @property
    def name(self) -> str:
        """What identifies the image in its dataset: its own id, or its uri."""
        return self.source_id or self.uri


def image_id(name: str) -> str:
    """32 hex characters made from `ManifestRow.name`: the whole uri, or an id of the user's own.

    Two files of the same name in two folders are two images.
    """
    return blake2b(name.encode(), digest_size=16).hexdigest()


def manifest_row(uri: str, size: int, etag: str) -> ManifestRow:
    """The row of a listed image."""
    return ManifestRow(image_id(uri), uri, size, etag)


def sorted_rows(rows: Iterable[ManifestRow]) -> Iterator[ManifestRow]:
    """The rows sorted by name, the first of each name, by way of sorted chunks on the local disk.

    Raises: SamLabelError if that disk is full.
    """
    disk = local_disk("the listing cannot be sorted")
    with disk, tempfile.TemporaryDirectory(prefix="sam-label-") as folder:
        files = (Path(folder) / f"{number}.jsonl" for number in count())
        runs: list[Path] = []
        last = ""
        for chunk in _batched(rows, ROWS_A_PART):
            chunk.sort(key=_by_name)
            # Most stores list in order: then all rows go into one file, and nothing has to be merged.
            runs += [next(files)] if not runs or chunk[0].name < last else []
            _append(runs[-1], chunk)
            last = chunk[-1].name
        while len(runs) > MOST_OPEN:  # neighbours are merged, so that the first row of a name stays first
            starts = range(0, len(runs), MOST_OPEN)
            runs = [_one_file(runs[start : start + MOST_OPEN], next(files)) for start in starts]
        for _, same in groupby(_merged(runs), key=_by_name):
            yield next(same)


def write_manifest(store: Store, run: str, rows: Iterable[ManifestRow]) -> list[str]:
    """Writes sorted rows in parts, and returns the names of the parts; none for no rows."""
    parts = []
    for number, chunk in enumerate(_batched(rows, ROWS_A_PART)):
        name = part_name(run, number)
        store.publish(name, parquet_bytes(_table(chunk), dictionaries=()))
        parts.append(name)
    return parts


def read_manifest(
    store: Store, parts: Iterable[str], columns: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    """The manifest's rows in order, a part at a time. Raises: DamagedFile."""
    for part in parts:
        yield parquet_table(store.read(part), store.uri(part), columns, may_lack=_ADDED_LATER)


def rows_of(tables: Iterable[pa.Table]) -> Iterator[ManifestRow]:
    """The rows of manifest tables, one by one."""
    for table in tables:
        for batch in table.to_batches(max_chunksize=1024):
            columns = (batch.column(name).to_pylist() for name in MANIFEST_SCHEMA.names)
            yield from map(ManifestRow._make, zip(*columns, strict=True))


def _table(rows: Iterable[ManifestRow]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(MANIFEST_SCHEMA)
    return pa.table([list(column) for column in columns], schema=MANIFEST_SCHEMA)


def _append(path: Path, rows: Iterable[ManifestRow]) -> None:
    with path.open("a") as file:  # lines, which are read one by one; Arrow would hold whole pages
        file.writelines(json.dumps(some) + "\n" for some in _batched(rows, ROWS_A_LINE))


def _one_file(paths: Iterable[Path], file: Path) -> Path:
    _append(file, _merged(paths))
    return file


def _merged(paths: Iterable[Path]) -> Iterator[ManifestRow]:
    return heapq.merge(*map(_rows_of_file, paths), key=_by_name)


def _rows_of_file(path: Path) -> Iterator[ManifestRow]:
    with path.open() as lines:
        path.unlink()  # the disk is freed when the reader ends, even early
        for line in lines:
            yield from map(ManifestRow._make, json.loads(line))


def _by_name(row: ManifestRow) -> str:
    return row.name


def _batched(rows: Iterable[ManifestRow], size: int) -> Iterator[list[ManifestRow]]:
    chunk: list[ManifestRow] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
