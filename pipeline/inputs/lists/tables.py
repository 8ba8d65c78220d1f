"""The rows of a list, whatever its format: one at a time, with the columns that are asked for."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config import InputFormat
from pipeline.errors import Reason, StoreError, UsageError
from pipeline.inputs.lists.lines import LONGEST_LINE, Line, lines_of
from pipeline.inputs.table_schema import text_columns
from pipeline.store.objects import Entry
from pipeline.store.range_file import RangeFile
from pipeline.store.storage import Store
from pipeline.store.uri import redacted

# A page may name one long value for each of many rows, so that a small file holds much; 8192 rows at once
# would take 0.5 µs less a row, of 10.
ROWS_AT_ONCE = 16
MOST_BYTES = ROWS_AT_ONCE * LONGEST_LINE  # of the rows read at once
BUFFER_BYTES = 4 << 20  # of a column of Parquet: without it a row group of any size would be held whole
FIRST_LINES = 1000  # of JSON lines, whose keys are the columns


class ListRow(NamedTuple):
    """What a list says of one image: the values of the columns that are read."""

    number: int  # of the line from 1 on, or of the row of a table from 0 on
    values: dict[str, Any]


class BadRow(NamedTuple):
    """A line or a row that names no image, and why."""

    number: int
    why: str


Rows = Iterator[ListRow | BadRow]


@dataclass(frozen=True)
class Table:
    """An opened list: its columns, and its rows with the values of some of them."""

    names: list[str]
    text_names: list[str]  # those that may name images
    rows: Callable[[Sequence[str]], Rows]


def opened(store: Store, file: Entry, format_: InputFormat) -> Table:
    """The list as a table. Raises: UsageError if it is no such table, StoreError."""
    if format_ == "parquet":
        return _parquet(store, file)
    lines = lines_of(store, file)
    match format_:
        case "txt":
            return Table(["uri"], ["uri"], lambda _: _of_text(lines))
        case "jsonl":
            return _json_lines(lines)
        case _:
            return _delimited(lines, "\t" if format_ == "tsv" else ",", redacted(store.uri(file.name)))


def _of_text(lines: Iterable[Line]) -> Rows:
    for number, text in lines:
        if text.startswith("#"):
            yield BadRow(
                number, "it begins with #; remove the line, or write ./# if the file's name begins with #"
            )
        elif text.strip():
            yield ListRow(number, {"uri": text})


def _json_lines(lines: Iterator[Line]) -> Table:
    rows = _objects(lines)
    first = list(islice(rows, FIRST_LINES))
    names = list(dict.fromkeys(name for row in first if isinstance(row, ListRow) for name in row.values))
    return Table(names, names, lambda _: chain(first, rows))


def _objects(lines: Iterable[Line]) -> Rows:
    for number, text in lines:
        if not text.strip():
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as fault:
            yield BadRow(number, f"it is not JSON ({fault!s:.100})")
        else:
            is_object = isinstance(value, dict)
            yield ListRow(number, value) if is_object else BadRow(number, "it is not a JSON object")


def _delimited(lines: Iterable[Line], separator: str, place: str) -> Table:
    """The table of a CSV or a TSV; the fields of either may be quoted."""
    csv.field_size_limit(LONGEST_LINE)  # of this process; the default is 128 kB
    reader = csv.reader((f"{line.text}\n" for line in lines), delimiter=separator, strict=True)

    def records() -> Iterator[list[str]]:
        try:
            yield from filter(None, reader)
        except csv.Error as fault:
            raise UsageError(f"{place} cannot be read from line {reader.line_num:,} on: {fault}") from fault

    header = next(records(), [])

    def rows(wanted: Sequence[str]) -> Rows:
        places = [(name, header.index(name)) for name in wanted]
        for fields in records():
            if len(fields) == len(header):
                yield ListRow(reader.line_num, {name: fields[place] for name, place in places})
            else:
                yield BadRow(
                    reader.line_num, f"it has {len(fields)} fields, but the header has {len(header)}"
                )

    return Table(header, header, rows)


def _parquet(store: Store, file: Entry) -> Table:
    place = redacted(store.uri(file.name))
    source = pa.PythonFile(RangeFile(store, file.name, file.size, file.etag), mode="r")
    with _broken_reported(place):
        table = pq.ParquetFile(source, buffer_size=BUFFER_BYTES, pre_buffer=False)

    def rows(wanted: Sequence[str]) -> Rows:
        number = 0
        with _broken_reported(place):
            for batch in table.iter_batches(ROWS_AT_ONCE, columns=list(wanted), use_threads=False):
                if batch.nbytes > MOST_BYTES:
                    raise UsageError(
                        f"rows of {place} from {number:,} on are longer than 16 MB; is it a list of images?"
                    )
                for values in batch.to_pylist():
                    yield ListRow(number, values)
                    number += 1

    return Table(table.schema_arrow.names, text_columns(table.schema_arrow), rows)


@contextmanager
def _broken_reported(place: str) -> Iterator[None]:
    try:
        yield
    except StoreError as fault:
        if fault.reason is not Reason.SOURCE_CHANGED:
            raise
        raise UsageError(f"{place} was changed while it was read; run again when it is complete") from fault
    except (OSError, ValueError, MemoryError, pa.ArrowException) as fault:
        why = " ".join(str(fault).split())
        raise UsageError(f"{place} cannot be read as Parquet ({why:.200}); write it again") from fault
