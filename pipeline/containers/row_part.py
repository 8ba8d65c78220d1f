"""How a row of a table is named: `row=17`, or `row=17&column=photo` if the column had to be chosen.

So the uri alone identifies the image, whatever the run's options were. A number has no zeros before it, so
that a row has one name.
"""

import re
from typing import NamedTuple

_ROW = re.compile(r"^row=(?P<row>0|[1-9]\d{0,17})(&column=(?P<column>.+))?$", re.DOTALL)


class RowPart(NamedTuple):
    """A row of a table; `column` is None for the only column of images."""

    row: int
    column: str | None

    def __str__(self) -> str:
        return f"row={self.row}" + (f"&column={self.column}" if self.column is not None else "")


def row_part(part: str) -> RowPart | None:
    """What the part names; None if it is no row."""
    match = _ROW.match(part)
    return RowPart(int(match["row"]), match["column"]) if match else None
