"""Checks which columns are read and which rows are wanted, before anything is read."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import UsageError
from pipeline.output.format.schema import VECTORS
from pipeline.suggestion import suggestion

# what every Record needs: some bytes a row
ALWAYS = ("image_id", "uri", "etag", "width", "height", "status", "error", "num_masks")

Where: TypeAlias = pc.Expression | Sequence[Any]


def read_columns(columns: Iterable[str] | None, schema: pa.Schema) -> list[str]:
    """The named columns and those that are always read, in the schema's order; all columns for None.

    Raises: UsageError for an unknown column.
    """
    if columns is None:
        return list(schema.names)
    if isinstance(columns, str):
        raise UsageError(f"columns is the text {columns!r}; give a list of names, as [{columns!r}]")
    try:
        names: list[Any] = list(columns)
    except TypeError:
        names = [columns]
    for name in names:
        if not isinstance(name, str):
            raise UsageError(f"columns is {columns!r:.100}; give a list of names, as ['mask_area']")
        if name not in schema.names:
            raise UsageError(_no_such_column(name, schema))
    return [name for name in schema.names if name in ALWAYS or name in names]


def expression_of(where: Where | None, schema: pa.Schema) -> pc.Expression | None:
    """The condition as an Arrow expression; `where` is one, or tuples as `pyarrow.parquet` accepts them.

    Raises: UsageError for an unknown column, or a condition that cannot be applied.
    """
    if where is None:
        return None
    try:
        expression = where if isinstance(where, pc.Expression) else pq.filters_to_expression(list(where))
        schema.empty_table().filter(expression)
    except (pa.ArrowException, ValueError, TypeError, KeyError) as fault:
        raise UsageError(
            f"the condition {where!s:.200} cannot be applied to the columns {', '.join(schema.names)}: "
            f"{' '.join(str(fault).split())[:200]}"
        ) from fault
    return expression


def columns_of(expression: pc.Expression, schema: pa.Schema) -> list[str]:
    """The columns without which an expression cannot be applied."""
    return [name for name in schema.names if not _applies_without(expression, name, schema)]


def _applies_without(expression: pc.Expression, column: str, schema: pa.Schema) -> bool:
    try:
        schema.empty_table().drop_columns([column]).filter(expression)
    except pa.ArrowException:
        return False
    return True


def _no_such_column(name: str, schema: pa.Schema) -> str:
    if name in VECTORS:
        return f"this dataset has no column {name!r}; sam-label run --mask-embeddings writes one"
    hint = suggestion(name, schema.names) or f"; there are {', '.join(schema.names)}"
    return f"a dataset has no column {name!r}{hint}"
