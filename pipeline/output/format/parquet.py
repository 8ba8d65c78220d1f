"""Writes Parquet with a checksum on every page, and reads it so that an error names the damaged file.

Which error pyarrow raises depends on where the bytes are broken; it may be an OSError on a sound disk.
Without checksums it may raise nothing, since a page with a flipped bit may well decode.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import DamagedFile
from pipeline.store.range_file import RangeFile

ZSTD_LEVEL = 3  # 29 % smaller than Snappy, and higher levels gain next to nothing on RLE


def parquet_bytes(table: pa.Table, dictionaries: Sequence[str], rows_in_group: int | None = None) -> bytes:
    """The table as a Parquet file; `dictionaries` names the columns of few distinct values.

    Without `rows_in_group`, a row group holds a million rows.
    """
    body = io.BytesIO()
    pq.write_table(
        table,
        body,
        row_group_size=rows_in_group,
        compression="zstd",
        compression_level=ZSTD_LEVEL,
        use_dictionary=list(dictionaries),
        write_page_checksum=True,
    )
    return body.getvalue()


def parquet_table(
    file: bytes | io.RawIOBase,
    uri: str,
    columns: Sequence[str] | None = None,
    groups: Sequence[int] | None = None,
    may_lack: Sequence[pa.Field] = (),
) -> pa.Table:
    """The rows of a Parquet file, with only the named columns and row groups; errors call it `uri`.

    Columns of `may_lack` that the file does not have are null.
    Raises: DamagedFile.
    """
    with _damage_reported(uri):
        opened = _opened(file)
        if isinstance(file, RangeFile):
            file.fetch(_ranges(opened.metadata, columns, groups))
        if groups is None:
            table = opened.read(columns=columns, use_threads=False)
        else:
            table = opened.read_row_groups(groups, columns, use_threads=False)
        table.validate(full=True)
        for field in may_lack:
            if field.name not in table.column_names and (columns is None or field.name in columns):
                table = table.append_column(field, pa.nulls(table.num_rows, field.type))
        return table if columns is None else table.select(columns)


def parquet_metadata(file: bytes | io.RawIOBase, uri: str) -> Mapping[bytes, bytes]:
    """The key-value metadata of a Parquet file that is called `uri`. Raises: DamagedFile."""
    with _damage_reported(uri):
        return dict(_opened(file).schema_arrow.metadata or {})


def parquet_columns(file: bytes | io.RawIOBase, uri: str) -> list[str]:
    """The names of the columns of a Parquet file that is called `uri`. Raises: DamagedFile."""
    with _damage_reported(uri):
        return list(_opened(file).schema_arrow.names)


def parquet_memory_bytes(file: bytes | io.RawIOBase, uri: str) -> int:
    """About how many bytes a Parquet file's rows take in memory: its unpacked pages. Raises: DamagedFile."""
    with _damage_reported(uri):
        footer = _opened(file).metadata
        return sum(footer.row_group(group).total_byte_size for group in range(footer.num_row_groups))


def group_rows(file: bytes | io.RawIOBase, uri: str) -> list[int]:
    """The number of rows in each row group of a Parquet file called `uri`. Raises: DamagedFile."""
    with _damage_reported(uri):
        about = _opened(file).metadata
        return [about.row_group(group).num_rows for group in range(about.num_row_groups)]


def text_range(file: bytes | io.RawIOBase, uri: str, column: str) -> tuple[str, str] | None:
    """The smallest and the largest text of a column, from the footer of a Parquet file called `uri`.

    None if the footer does not say. Raises: DamagedFile.
    """
    with _damage_reported(uri):
        about = _opened(file).metadata
        place = about.schema.names.index(column)
        known = [about.row_group(group).column(place).statistics for group in range(about.num_row_groups)]
        if not all(one is not None and one.has_min_max for one in known):
            return None
        return min((one.min for one in known), default=""), max((one.max for one in known), default="")


def _opened(file: bytes | io.RawIOBase) -> pq.ParquetFile:
    """Opens a file to read it in the caller's thread alone. A thread of Arrow may release the file after the
    read has returned, and abort a Python that exits. So RangeFile fetches ahead, and `pre_buffer` is off.
    """
    source = pa.BufferReader(file) if isinstance(file, bytes) else pa.PythonFile(file, mode="r")
    return pq.ParquetFile(source, page_checksum_verification=True, pre_buffer=False)


def _ranges(
    about: pq.FileMetaData, columns: Sequence[str] | None, groups: Sequence[int] | None
) -> Iterator[tuple[int, int]]:
    """Where in the file the columns of the row groups are."""
    for group in range(about.num_row_groups) if groups is None else groups:
        chunks = about.row_group(group)
        for chunk in map(chunks.column, range(chunks.num_columns)):
            if columns is None or chunk.path_in_schema.partition(".")[0] in columns:
                start = chunk.dictionary_page_offset or chunk.data_page_offset
                yield start, start + chunk.total_compressed_size


@contextmanager
def _damage_reported(uri: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, MemoryError, pa.ArrowException) as fault:
        raise DamagedFile(uri, str(fault) or type(fault).__name__) from fault
