"""Refuses a shard with rows that no run writes, before anything is made of them.

A dataset may come from a stranger. Its ids become names of files, GDAL opens what its `crs` names, and its
lists are read by position. Everything that reads rows runs this check, except `sam-label validate`, which
names each faulty row. Nothing is checked mask by mask: whoever decodes masks does that.
"""

import re
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.errors import DamagedFile
from pipeline.output.format.schema import MASK_COLUMNS, SCHEMA_WITH_VECTORS, VECTOR_SIZE, VECTORS
from sam_core.masks.crops import is_image_size

REASON = re.compile(r"[A-Z_]{1,40}")  # also of a newer release
GEO_NUMBERS = 6  # of geo_transform
_NUMBER = r"-?[0-9]+(?:\.[0-9]+)?(?:e[+-][0-9]{1,3})?"
_RANGE = re.compile(f"{_NUMBER}:{_NUMBER}"), "two numbers as LO:HI"
FACTS = {
    "crs": (re.compile(r"EPSG:[0-9]{1,5}"), "EPSG: and a number"),
    "pixel_scale": _RANGE,
    "pixel_range": _RANGE,
}
_TEXTS = {
    "image_id": (re.compile(r"[0-9a-f]{32}"), "32 hex digits"),
    "status": (re.compile("ok|failed"), "ok or failed"),
    "error": (REASON, "a reason"),
    **FACTS,
}
_LENGTHS = {"geo_transform": GEO_NUMBERS, "image_embedding": VECTOR_SIZE}
_NULL = -1  # as a length


def refuse_damaged_rows(table: pa.Table, columns: Sequence[str], uri: str) -> None:
    """Raises: DamagedFile if the table has a row that no run writes.

    `columns` are those that the table should have; `uri` names the shard in the error.
    """
    for why in _faults(table, columns):
        raise DamagedFile(uri, f"{why}; sam-label validate names each such row")


def _faults(table: pa.Table, columns: Sequence[str]) -> Iterator[str]:
    for name in columns:
        if name not in table.column_names or table[name].type != SCHEMA_WITH_VECTORS.field(name).type:
            yield f"the column {name} is not there, or is of another type"
            return  # nothing can be said of the others
    for name, (pattern, meaning) in _TEXTS.items():
        if name in columns:
            fits = pc.match_substring_regex(table[name], f"^(?:{pattern.pattern})$")
            may_be_null = SCHEMA_WITH_VECTORS.field(name).nullable
            if not pc.all(pc.fill_null(fits, may_be_null), min_count=0).as_py():
                yield f"the {name} of a row is not {meaning}"
    for name in columns:
        if pa.types.is_list(table[name].type) and any(map(_has_null, table[name].chunks)):
            yield f"a list of {name} holds a null"
        if name in _LENGTHS and not np.isin(_lengths(table, name), (_NULL, _LENGTHS[name])).all():
            yield f"the {name} of a row does not hold {_LENGTHS[name]} numbers"
    yield from _size_faults(table)


def _size_faults(table: pa.Table) -> Iterator[str]:
    """What is wrong with the images' sizes, and with the lengths of the lists of masks."""
    sizes = {name: _numbers(table[name]) for name in ("num_masks",) if name in table.column_names}
    lists = *MASK_COLUMNS, VECTORS[0]
    sizes |= {name: _lengths(table, name) for name in lists if name in table.column_names}
    if any((length_N != next(iter(sizes.values()))).any() for length_N in sizes.values()):
        yield "the lists of masks of a row do not have the same length"
    if "status" not in table.column_names:
        return
    is_ok_N = pc.equal(table["status"], "ok").to_numpy()
    if any((length_N[is_ok_N] < 0).any() for length_N in sizes.values()):
        yield "a row is ok, but has no list of masks"
    if {"width", "height"} <= set(table.column_names):
        height_N, width_N = (_numbers(table[name])[is_ok_N] for name in ("height", "width"))
        if not np.all(is_image_size(height_N, width_N)):
            yield "the width and height of a row are no image's"


def _numbers(column: pa.ChunkedArray) -> NDArray[np.int64]:
    numbers: NDArray[np.int64] = pc.fill_null(column, _NULL).to_numpy().astype(np.int64)
    return numbers


def _lengths(table: pa.Table, name: str) -> NDArray[np.int64]:
    return _numbers(pc.list_value_length(table[name]))


def _has_null(lists: pa.Array) -> bool:
    values = lists.flatten() if lists.values.null_count else lists.values  # flatten() skips null lists
    is_nested = pa.types.is_fixed_size_list(values.type)
    return bool(values.null_count or (is_nested and values.flatten().null_count))
