"""Which columns of a list are read: the one that names the images, the one with ids, and those to keep."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

from pipeline.errors import UsageError
from pipeline.inputs.lists.formats import URI_COLUMNS
from pipeline.inputs.lists.tables import Table
from pipeline.inputs.options import SourceOptions
from pipeline.output.format.schema import MOST_EXTRA_BYTES
from pipeline.suggestion import suggestion

_SHOWN = 20  # column names in a message


@dataclass(frozen=True)
class Columns:
    """The names of the columns that are read."""

    uri: str
    id: str | None = None
    kept: tuple[str, ...] = ()

    @classmethod
    def of(cls, options: SourceOptions, table: Table, place: str) -> "Columns":
        """The columns that the options name, or that have the usual names.

        Raises: UsageError, which names the columns that there are.
        """
        names = table.names
        uri = options.uri_column or _usual_column(table, place)
        columns = cls(uri, options.id_column, tuple(options.kept))
        for name in columns.all:
            if list(names).count(name) != 1:
                how = "two columns" if name in names else "no column"
                raise UsageError(f"{place} has {how} {name!r}{suggestion(name, names)}{_shown(names)}")
        if uri not in table.text_names:
            raise UsageError(f"the column {uri!r} of {place} holds no text; name another with --uri-column")
        return columns

    @property
    def all(self) -> list[str]:
        """Each name once."""
        return list(dict.fromkeys(filter(None, (self.uri, self.id, *self.kept))))

    def kept_json(self, values: Mapping[str, Any]) -> str | None:
        """The values to keep, as the text of a JSON object; None if none are kept.

        Times and dates are ISO text; what JSON has no number for (NaN, infinity) is null.
        Raises: ValueError for values that are too large, TypeError for bytes.
        """
        if not self.kept:
            return None
        text = _json({name: values.get(name) for name in self.kept})
        size = len(text.encode())
        if size > MOST_EXTRA_BYTES:
            raise ValueError(
                f"its kept columns have {size:,} bytes, more than the 64 kB that an image may have"
            )
        return text


def id_text(value: Any) -> str:
    """An id as text. Raises: ValueError if it is neither text nor a whole number, or is empty."""
    if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
        raise ValueError(f"its id is {value!r:.100}, neither text nor a whole number")
    return str(value)


def _usual_column(table: Table, place: str) -> str:
    first, *others = URI_COLUMNS
    if first in table.text_names:
        return first
    found = [name for name in others if name in table.text_names]
    if len(found) == 1:
        return found[0]
    why = f"{' and '.join(found)}" if found else f"none of the columns {', '.join(URI_COLUMNS)}"
    raise UsageError(
        f"{place} has {why}; name the column of the images with --uri-column{_shown(table.names)}"
    )


def _shown(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > _SHOWN else ""
    return f"; its columns are {', '.join(map(repr, names[:_SHOWN]))}{more}"


def _as_json(value: Any) -> Any:
    """The JSON value for a value of a type that JSON does not have."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        raise TypeError("a kept column holds bytes, which JSON cannot represent")
    return str(value)  # decimals keep their digits


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_as_json)


def _json(value: Mapping[str, Any]) -> str:
    try:
        return _ENCODER.encode(value)
    except ValueError:
        return _ENCODER.encode(_without_nan(value))


def _without_nan(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _without_nan(one) for name, one in value.items()}
    return [_without_nan(one) for one in value] if isinstance(value, list | tuple) else value
