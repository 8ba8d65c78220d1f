"""The images in a Parquet file: how many there are, and the bytes of some, by row group.

Listing reads only the footer. To read an image, the column chunk of its row group is read. The last few small
chunks are cached, since rows come in the order of their names, which jumps between groups (row=1, row=10).
A large group is read page by page, so that memory holds one page; its writer decided how large a page is. How
large a group is shows only when it is read: a page may name one long value for each of many rows.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.containers.image_column import (
    ImageColumn,
    UnfitTable,
    column_of_images,
    image_of,
    stated_column,
)
from pipeline.containers.kept import Kept
from pipeline.containers.row_part import RowPart
from pipeline.containers.window_file import WindowFile
from pipeline.errors import ImageError, Reason
from pipeline.store.objects import Entry, Got
from pipeline.store.storage import Store

KEPT_FOOTERS = 8
KEPT_BYTES = 256 << 20  # of cached groups, in each process
SMALL_GROUP = 128 << 20  # pyarrow writes pages of up to 1,024 rows: 100 MB of photos, in memory anyway
_ROWS_AT_ONCE = 1  # two would hold a long value twice; 3 µs a row
_BUFFER = 1 << 20


class DamagedTable(Exception):
    """The file cannot be read as a table; the message says why."""


@dataclass(frozen=True)
class ParquetTable:
    """A Parquet file whose footer has been read."""

    store: Store
    file: Entry
    metadata: pq.FileMetaData
    schema: pa.Schema

    @property
    def _uri(self) -> str:
        return self.store.uri(self.file.name)

    def rows(self, wanted: str | None) -> Iterator[RowPart]:
        """The rows to label, by --image-column or the only column of images.

        Raises: as `column_of_images`.
        """
        chosen = stated_column(self.schema, self._uri, wanted)
        return (RowPart(row, chosen) for row in range(self.metadata.num_rows))

    def images(self, parts: Sequence[RowPart]) -> Iterator[tuple[RowPart, Got | ImageError]]:
        """The images of some rows, one row group after another. Raises: StoreError."""
        ends = list(
            accumulate(self.metadata.row_group(i).num_rows for i in range(self.metadata.num_row_groups))
        )
        groups: dict[tuple[str | None, int], list[RowPart]] = defaultdict(list)
        for part in sorted(parts, key=lambda part: (part.column or "", part.row)):
            if part.row < self.metadata.num_rows:
                groups[part.column, bisect_right(ends, part.row)].append(part)
            else:
                yield part, ImageError(Reason.SOURCE_MISSING, f"the table has {self.metadata.num_rows} rows")
        for (name, group), members in groups.items():
            first = ends[group - 1] if group else 0
            try:
                column = column_of_images(self.schema, self._uri, name)
            except UnfitTable as unfit:
                yield from ((part, unfit.of_a_row) for part in members)
            else:
                yield from self._of_group(column, group, first, members)

    def _of_group(
        self, column: ImageColumn, group: int, first: int, parts: Sequence[RowPart]
    ) -> Iterator[tuple[RowPart, Got | ImageError]]:
        left = list(reversed(parts))
        try:
            for batch in _batches(self, column, group):
                bytes_, paths = column.values(batch)
                while left and left[-1].row - first < len(batch):
                    part = left.pop()
                    yield part, image_of(bytes_, paths, part.row - first, self.file.etag)
                first += len(batch)
                if not left:
                    return
        except (pa.ArrowException, OSError) as fault:
            why = f"row group {group} of {self._uri} cannot be read: {_line(fault)}"
            for part in left:
                yield part, ImageError(Reason.CORRUPT, why)


def parquet_table(store: Store, file: Entry) -> ParquetTable:
    """The table of a file; the last few footers are cached. Raises: DamagedTable, StoreError."""
    return _footers.get((store, file), lambda: _opened(store, file))


def _opened(store: Store, file: Entry) -> ParquetTable:
    try:
        opened = pq.ParquetFile(WindowFile(store, file), pre_buffer=False)
        return ParquetTable(store, file, opened.metadata, opened.schema_arrow)
    except (pa.ArrowException, OSError) as fault:
        raise DamagedTable(_line(fault)) from fault


_footers: Kept[tuple[Store, Entry], ParquetTable] = Kept(KEPT_FOOTERS)
_groups: Kept[tuple[Store, Entry, ImageColumn, int], pa.Array | None] = Kept(
    KEPT_BYTES, lambda array: 0 if array is None else array.nbytes
)


def _batches(table: ParquetTable, column: ImageColumn, group: int) -> Iterator[pa.Array]:
    """The column's values in a row group; a small group comes as one array, which is cached."""
    if _size(table.metadata.row_group(group), column) <= SMALL_GROUP:
        key = table.store, table.file, column, group
        if (whole := _groups.get(key, lambda: _whole(table, column, group))) is not None:
            return iter([whole])
    return _read(table, column, group)


def _whole(table: ParquetTable, column: ImageColumn, group: int) -> pa.Array | None:
    """The column's values in a row group as one array; None if they are large, whatever the footer says."""
    batches, size = [], 0
    for batch in _read(table, column, group):
        batches.append(batch)
        size += batch.nbytes
        if size > SMALL_GROUP:
            return None
    return pa.concat_arrays(batches)


def _read(table: ParquetTable, column: ImageColumn, group: int) -> Iterator[pa.Array]:
    file = pq.ParquetFile(
        WindowFile(table.store, table.file), metadata=table.metadata, pre_buffer=False, buffer_size=_BUFFER
    )
    for batch in file.iter_batches(_ROWS_AT_ONCE, [group], column.leaves, use_threads=False):
        yield batch.column(0)


def _size(group: pq.RowGroupMetaData, column: ImageColumn) -> int:
    chunks = (group.column(index) for index in range(group.num_columns))
    return sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema in column.leaves)


def _line(fault: Exception) -> str:
    return " ".join(str(fault).split())[:300] or type(fault).__name__
