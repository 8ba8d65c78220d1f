"""The images in a Lance dataset (a folder `x.lance`), at the version that was listed. Needs `pylance`."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pyarrow as pa

from pipeline.containers.image_column import (
    UnfitTable,
    column_of_images,
    image_of,
    row_without_bytes,
    stated_column,
)
from pipeline.containers.kept import Kept
from pipeline.containers.row_part import RowPart
from pipeline.errors import ImageError, Reason, StoreError, UsageError
from pipeline.store.objects import Got
from pipeline.store.storage import Store

KEPT = 4
_BLOB = "lance.blob"  # prefix of the names of types whose bytes are stored beside the column


@dataclass(frozen=True)
class LanceTable:
    """One version of a Lance dataset; its etag is the version's number."""

    uri: str
    dataset: Any

    @property
    def etag(self) -> str:
        return str(self.dataset.version)

    def rows(self, wanted: str | None) -> Iterator[RowPart]:
        """The rows to label. Raises: as `column_of_images`."""
        chosen = stated_column(self._schema, self.uri, wanted)
        return (RowPart(row, chosen) for row in range(self.dataset.count_rows()))

    def images(self, parts: Sequence[RowPart]) -> Iterator[tuple[RowPart, Got | ImageError]]:
        """The images of some rows. Raises: StoreError."""
        count = self.dataset.count_rows()
        by_column: dict[str | None, list[RowPart]] = defaultdict(list)
        for part in parts:
            if part.row < count:
                by_column[part.column].append(part)
            else:
                yield part, ImageError(Reason.SOURCE_MISSING, f"the table has {count} rows")
        for name, wanted in by_column.items():
            yield from zip(wanted, self._taken(name, [part.row for part in wanted]), strict=True)

    def _taken(self, name: str | None, rows: list[int]) -> list[Got | ImageError]:
        try:
            column = column_of_images(self._schema, self.uri, name)
            if _is_blob(self.dataset.schema.field(column.name)):
                blobs = self.dataset.take_blobs(column.name, indices=rows)
                return [
                    Got(blob.read(), self.etag) if blob is not None else row_without_bytes() for blob in blobs
                ]
            taken = self.dataset.take(rows, columns=[column.name]).column(0).combine_chunks()
        except UnfitTable as unfit:
            return [unfit.of_a_row] * len(rows)
        except (OSError, ValueError) as fault:
            raise StoreError(Reason.SOURCE_UNAVAILABLE, f"cannot read {self.uri}: {_line(fault)}") from fault
        bytes_, paths = column.values(taken)
        return [image_of(bytes_, paths, place, self.etag) for place in range(len(rows))]

    @property
    def _schema(self) -> pa.Schema:
        """The columns; columns of blobs as plain bytes."""
        fields = self.dataset.schema
        return pa.schema([pa.field(one.name, pa.large_binary()) if _is_blob(one) else one for one in fields])


def imported_lance(needed_by: str) -> ModuleType:
    """The module `lance`. Raises: UsageError if it is not installed."""
    os.environ.setdefault("LANCE_LOG", "error")  # it warns of every new dataset
    try:
        import lance
    except ImportError:
        raise UsageError(
            f"{needed_by} needs a package that is not installed: pip install 'sam-label[lance]'"
        ) from None
    module: ModuleType = lance
    return module


def lance_table(store: Store, name: str, etag: str) -> LanceTable:
    """The dataset at the version of the etag, or the newest for "". Raises: StoreError, UsageError."""
    if not etag:
        return _opened(store, name, etag)
    return _tables.get((store, name, etag), lambda: _opened(store, name, etag))


_tables: Kept[tuple[Store, str, str], LanceTable] = Kept(KEPT)


def _opened(store: Store, name: str, etag: str) -> LanceTable:
    uri = store.uri(name)
    lance = imported_lance(uri)
    place = f"{store.location.root}/{name}" if store.is_local else uri
    try:
        return LanceTable(uri, lance.dataset(place, version=int(etag) if etag else None))
    except (OSError, ValueError) as fault:
        is_there = etag and "not found" in str(fault) and next(store.list(name), None) is not None
        reason = Reason.SOURCE_CHANGED if is_there else Reason.SOURCE_MISSING
        if "not found" not in str(fault):
            reason = Reason.SOURCE_UNAVAILABLE
        raise StoreError(reason, f"cannot open {uri}: {_line(fault)}") from fault


def _is_blob(field: pa.Field) -> bool:
    is_marked = (field.metadata or {}).get(b"lance-encoding:blob") == b"true"
    return is_marked or getattr(field.type, "extension_name", "").startswith(_BLOB)


def _line(fault: Exception) -> str:
    return " ".join(str(fault).split())[:300]
