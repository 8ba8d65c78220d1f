"""Which columns are read and which rows are wanted, checked before anything is read."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import UsageError
from pipeline.output.format.schema import SCHEMA

# what a record needs to be one: some bytes a row
ALWAYS = ("image_id", "uri", "etag", "width", "height", "status", "error", "num_masks")

Where: TypeAlias = pc.Expression | Sequence[Any]


def read_columns(columns: Sequence[str] | None) -> list[str]:
    """The named columns and those that are always read, in the schema's order; all of them for None.

    Raises: UsageError for a column that there is not.
    """
    if columns is None:
        return list(SCHEMA.names)
    if isinstance(columns, str):
        raise UsageError(f"columns is the text {columns!r}; give a list of names, as [{columns!r}]")
    for name in columns:
        if name not in SCHEMA.names:
            raise UsageError(_no_such_column(name))
    return [name for name in SCHEMA.names if name in ALWAYS or name in columns]


def expression_of(where: Where | None) -> pc.Expression | None:
    """The condition as an Arrow expression: one already, or tuples as `pyarrow.parquet` takes them.

    Raises: UsageError for a column that there is not, or a condition that cannot be.
    """
    if where is None:
        return None
    try:
        expression = where if isinstance(where, pc.Expression) else pq.filters_to_expression(list(where))
        SCHEMA.empty_table().filter(expression)
    except (pa.ArrowException, ValueError, TypeError, KeyError) as fault:
        raise UsageError(
            f"the condition {where!s:.200} cannot be applied to the columns {', '.join(SCHEMA.names)}: "
            f"{' '.join(str(fault).split())[:200]}"
        ) from fault
    return expression


def columns_of(expression: pc.Expression) -> list[str]:
    """The columns that an expression looks at: those without which it cannot be applied."""
    return [name for name in SCHEMA.names if not _applies_without(expression, name)]


def _applies_without(expression: pc.Expression, column: str) -> bool:
    try:
        SCHEMA.empty_table().drop_columns([column]).filter(expression)
    except pa.ArrowException:
        return False
    return True


def _no_such_column(name: str) -> str:
    near = get_close_matches(name, SCHEMA.names, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(SCHEMA.names)}"
    return f"a dataset has no column {name!r}; {hint}"
