"""The frozen, sorted listing of the input: what a dataset promises to have one row for each of.

Written once as Parquet parts, named for the run that wrote them. Rows stream through an external sort, so
that a million names take little more memory than a hundred; not every store lists in order by itself.
"""

import heapq
import json
import tempfile
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from pipeline.errors import UsageError
from pipeline.parquet import parquet_bytes, parquet_table
from pipeline.storage import Store

MANIFEST_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("etag", pa.string(), nullable=False),
    ]
)
ROWS_A_PART = 50_000  # 20 MB as Python rows: what one sorted chunk holds in memory; 4 MB as an object


class ManifestRow(NamedTuple):
    """One image to label."""

    image_id: str
    uri: str
    size: int
    etag: str


def image_id(uri: str) -> str:
    """32 hex characters from the whole uri: equal names in two folders are two images."""
    return blake2b(uri.encode(), digest_size=16).hexdigest()


def manifest_row(uri: str, size: int, etag: str) -> ManifestRow:
    """The row of a listed image. Raises: UsageError for a name that is no text."""
    try:
        return ManifestRow(image_id(uri), uri, size, etag)
    except UnicodeEncodeError as fault:
        raise UsageError(f"the file name {uri!r} is not valid UTF-8; rename the file") from fault


def sorted_rows(rows: Iterable[ManifestRow]) -> Iterator[ManifestRow]:
    """The rows by uri, each uri once, through sorted chunks on the local disk."""
    with tempfile.TemporaryDirectory(prefix="sam-label-") as folder:
        chunks = []
        for number, chunk in enumerate(_batched(rows, ROWS_A_PART)):
            chunks.append(
                Path(folder) / f"{number}.jsonl"
            )  # lines are read one by one; Arrow would keep pages
            with chunks[-1].open("w") as file:
                file.writelines(json.dumps(row) + "\n" for row in sorted(chunk, key=lambda row: row.uri))
        last = None
        for row in heapq.merge(*map(_rows_of_file, chunks), key=lambda row: row.uri):
            if row.uri != last:
                yield row
            last = row.uri


def write_manifest(store: Store, run: str, rows: Iterable[ManifestRow]) -> list[str]:
    """The names of the parts written, for sorted rows; no row, no part."""
    parts = []
    for number, chunk in enumerate(_batched(rows, ROWS_A_PART)):
        name = f"manifest/{run}-{number:05d}.parquet"
        store.publish(name, parquet_bytes(_table(chunk), dictionaries=()))
        parts.append(name)
    return parts


def read_manifest(store: Store, parts: Iterable[str]) -> Iterator[pa.Table]:
    """The manifest's rows in order, a part at a time. Raises: DamagedFile."""
    for part in parts:
        yield parquet_table(store.read(part), store.uri(part))


def rows_of(tables: Iterable[pa.Table]) -> Iterator[ManifestRow]:
    """The rows of manifest tables, one by one."""
    for table in tables:
        for batch in table.to_batches(max_chunksize=1024):
            columns = (batch.column(name).to_pylist() for name in MANIFEST_SCHEMA.names)
            yield from map(ManifestRow._make, zip(*columns, strict=True))


def _table(rows: Iterable[ManifestRow]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(MANIFEST_SCHEMA)
    return pa.table([list(column) for column in columns], schema=MANIFEST_SCHEMA)


def _rows_of_file(path: Path) -> Iterator[ManifestRow]:
    with path.open() as lines:
        yield from (ManifestRow(*json.loads(line)) for line in lines)


def _batched(rows: Iterable[ManifestRow], size: int) -> Iterator[list[ManifestRow]]:
    chunk: list[ManifestRow] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
