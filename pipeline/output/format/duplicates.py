"""Images that are not labelled because another has the same bytes: their uri, and the other's image_id.

They are not in the manifest, so that every row of the dataset is of an image that was looked at.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import pyarrow as pa

from pipeline.output.format.names import duplicates_name
from pipeline.output.format.parquet import parquet_bytes, parquet_table
from pipeline.store.storage import Store

DUPLICATES_SCHEMA = pa.schema(
    [
        pa.field("uri", pa.string(), nullable=False),
        pa.field("image_id", pa.string(), nullable=False),
    ]
)
ROWS_A_PART = 100_000  # 20 MB as Python rows


class Duplicate(NamedTuple):
    """One image that is not labelled."""

    uri: str
    image_id: str  # of the image with the same bytes that is


def write_duplicates(store: Store, run: str, duplicates: Iterable[Duplicate]) -> tuple[tuple[str, ...], int]:
    """Writes the duplicates in parts; returns the names of the parts, and how many images they name."""
    parts: list[str] = []
    images, rest = 0, iter(duplicates)
    while chunk := list(islice(rest, ROWS_A_PART)):
        name = duplicates_name(run, len(parts))
        columns = [list(column) for column in zip(*chunk, strict=True)]
        store.publish(name, parquet_bytes(pa.table(columns, schema=DUPLICATES_SCHEMA), dictionaries=()))
        parts.append(name)
        images += len(chunk)
    return tuple(parts), images


def read_duplicates(store: Store, parts: Iterable[str]) -> Iterator[pa.Table]:
    """The duplicates, a part at a time. Raises: DamagedFile."""
    return (parquet_table(store.read(part), store.uri(part)) for part in parts)


def duplicates_of(tables: Iterable[pa.Table]) -> Iterator[Duplicate]:
    """The duplicates of such tables, one by one."""
    for table in tables:
        yield from map(Duplicate, table["uri"].to_pylist(), table["image_id"].to_pylist())
