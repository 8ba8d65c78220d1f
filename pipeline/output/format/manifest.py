"""The frozen, sorted listing of the input: the images that a dataset has or will have one row of.

It is written once as Parquet parts, which are named for the run that wrote them. Rows stream through an
external sort, so that a million names take little more memory than a hundred; not every store lists in order.
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

from pipeline.errors import SamLabelError
from pipeline.output.format.names import part_name
from pipeline.output.format.parquet import parquet_bytes, parquet_table
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
ROWS_A_LINE = 256  # of 256 files merged at once that is 25 MB
MOST_OPEN = 256  # runs merged at once: a process may have 1,024 open files, and 100 million names are 2,000


class ManifestRow(NamedTuple):
    """One image to label."""

    image_id: str
    uri: str
    size: int  # UNKNOWN_SIZE until it is fetched
    etag: str  # "" until it is fetched, if the size is unknown
    offset: int | None = None  # of its first byte in the file that it is a part of
    extra: str | None = None  # columns that its list has of it and the dataset keeps: a JSON object
    source_id: str | None = None  # the id that its list gives it, of which image_id is made then

    @property
    def name(self) -> str:
        """What tells the image from the others of its dataset: its own id, or its uri."""
        return self.source_id or self.uri


def image_id(name: str) -> str:
    """32 hex characters from the whole uri, or from an id of the user's own: `ManifestRow.name`.

    Equal names in two folders are two images.
    """
    return blake2b(name.encode(), digest_size=16).hexdigest()


def manifest_row(uri: str, size: int, etag: str) -> ManifestRow:
    """The row of a listed image."""
    return ManifestRow(image_id(uri), uri, size, etag)


def sorted_rows(rows: Iterable[ManifestRow]) -> Iterator[ManifestRow]:
    """The rows by name, each name once, through sorted chunks on the local disk.

    Raises: SamLabelError if that disk is full.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="sam-label-") as folder:
            files = (Path(folder) / f"{number}.jsonl" for number in count())
            runs: list[Path] = []
            last = ""
            for chunk in _batched(rows, ROWS_A_PART):
                chunk.sort(key=_by_name)
                # Most stores list in order: then all is one run, and nothing has to be merged.
                runs += [next(files)] if not runs or chunk[0].name < last else []
                _append(runs[-1], chunk)
                last = chunk[-1].name
            while len(runs) > MOST_OPEN:
                merged = next(files)
                _append(merged, _merged(runs[:MOST_OPEN]))
                runs = [*runs[MOST_OPEN:], merged]
            for _, same in groupby(_merged(runs), key=_by_name):
                yield next(same)
    except OSError as fault:
        raise SamLabelError(
            f"the listing cannot be sorted in {tempfile.gettempdir()}: {fault.strerror}; set TMPDIR to a "
            "folder on a disk with room"
        ) from fault


def write_manifest(store: Store, run: str, rows: Iterable[ManifestRow]) -> list[str]:
    """The names of the parts that were written of sorted rows; none for no rows."""
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
    with path.open("a") as file:  # lines, since they are read one by one; Arrow would keep pages
        file.writelines(json.dumps(some) + "\n" for some in _batched(rows, ROWS_A_LINE))


def _merged(paths: Iterable[Path]) -> Iterator[ManifestRow]:
    return heapq.merge(*map(_rows_of_file, paths), key=_by_name)


def _rows_of_file(path: Path) -> Iterator[ManifestRow]:
    with path.open() as lines:
        path.unlink()  # frees the disk when the reader ends, read to the end or not
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
