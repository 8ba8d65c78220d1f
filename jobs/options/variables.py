"""Variables in INPUT and OUTPUT, for runs by schedule: `s3://photos/${DATE-1d}`.

DATE, YEAR, MONTH, DAY and HOUR are those of the command's start in UTC; `${DATE-1d}` and `${HOUR+2h}` are
days and hours away from it. `--var DATE=2026-11-01` (or 2026-11-01T05) sets that moment, to do a day again.
`--var NAME=VALUE` sets other names. `$${` stands for `${`; any other `$` stands for itself.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pipeline.errors import UsageError
from pipeline.store.uri import redacted
from pipeline.suggestion import suggestion

FORMATS = {"DATE": "%Y-%m-%d", "YEAR": "%Y", "MONTH": "%m", "DAY": "%d", "HOUR": "%H"}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_USE = re.compile(r"\$\$\{|\$\{(?P<inside>[^{}]*)(?P<end>\}?)")
_INSIDE = re.compile(rf"(?P<name>{_NAME.pattern})((?P<sign>[+-])(?P<count>\d{{1,5}})(?P<unit>[dh]))?")
_MOMENT = re.compile(r"(?P<date>\d{4}-\d\d-\d\d)(T(?P<hour>\d\d))?")


@dataclass
class Variables:
    """The values of one command, and which of them were used."""

    moment: datetime
    values: dict[str, str]
    used: set[str] = field(default_factory=set)

    @classmethod
    def given(cls, assignments: Iterable[str], now: datetime | None = None) -> "Variables":
        """The variables of `NAME=VALUE` texts, at `now` or the current time. Raises: UsageError."""
        values: dict[str, str] = {}
        for name, value in map(_assignment, assignments):
            if name in values:
                raise UsageError(f"--var sets {name} several times; give it once")
            values[name] = value
        moment = _moment(values["DATE"]) if "DATE" in values else now or datetime.now(UTC)
        return cls(moment, values)

    def filled_in(self, text: str, place: str) -> str:
        """The text with each variable's value; `place` is where the text stands, for messages.

        Raises: UsageError for a variable that is not set, or is not written as one.
        """
        return _USE.sub(lambda use: self._value(use, place), text)

    def refuse_unused(self) -> None:
        """Raises UsageError for a `--var` that no text has used: most likely it is misspelt."""
        used_times = self.used & FORMATS.keys()
        for name in self.values:
            if name not in self.used and not (name == "DATE" and used_times):
                hint = suggestion(name, self.used) or "; leave it out, or write ${" + name + "} there"
                raise UsageError(f"--var sets {name}, which neither INPUT nor OUTPUT uses{hint}")

    def _value(self, use: re.Match[str], place: str) -> str:
        if use["inside"] is None:
            return "${"
        parts = _INSIDE.fullmatch(use["inside"]) if use["end"] else None
        if parts is None:
            raise UsageError(
                f"{place} holds {use[0]!r}, which is not a variable: write ${{NAME}} or ${{DATE-1d}}, and "
                "$${ for a name that contains ${ itself"
            )
        name = parts["name"]
        self.used.add(name)
        is_text = name in self.values and name != "DATE"
        if is_text and parts["sign"] is None:
            return self.values[name]
        if is_text or name not in FORMATS:
            raise UsageError(_not_set(name, self.values, place, has_offset=parts["sign"] is not None))
        try:
            return (self.moment + _offset(parts)).strftime(FORMATS[name])
        except (OverflowError, ValueError):
            raise UsageError(
                f"{place} holds {use[0]!r}, which is outside the calendar (years 1 to 9999)"
            ) from None


def names_in(texts: Sequence[str]) -> set[str]:
    """The variables that the texts name."""
    insides = (use["inside"] for text in texts for use in _USE.finditer(text) if use["inside"])
    return {parts["name"] for inside in insides if (parts := _INSIDE.fullmatch(inside))}


def escaped(text: str) -> str:
    """The text, escaped so that nothing in it counts as a variable."""
    return text.replace("${", "$${")


def _not_set(name: str, values: Iterable[str], place: str, has_offset: bool) -> str:
    if has_offset:
        *others, last = FORMATS
        return f"{place} adds days or hours to {name}; only {', '.join(others)} and {last} allow that"
    hint = suggestion(name, [*FORMATS, *values])
    return (
        f"{place} names ${{{name}}}, which is not set{hint or f'; give it with --var {name}=VALUE'} "
        f"({', '.join(FORMATS)} are set to the start of the command, in UTC)"
    )


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not _NAME.fullmatch(name):
        raise UsageError(f"--var is {redacted(text)!r}: give NAME=VALUE, such as --var REGION=eu")
    return name, value


def _moment(text: str) -> datetime:
    parts = _MOMENT.fullmatch(text)
    try:
        if parts is None:
            raise ValueError
        return datetime.fromisoformat(f"{parts['date']}T{parts['hour'] or '00'}:00:00+00:00")
    except ValueError:
        raise UsageError(
            f"--var sets DATE to {redacted(text)!r}: give a day such as 2026-11-01, or an hour such as "
            "2026-11-01T05"
        ) from None


def _offset(parts: re.Match[str]) -> timedelta:
    if parts["sign"] is None:
        return timedelta()
    count = int(f"{parts['sign']}{parts['count']}")
    return timedelta(days=count) if parts["unit"] == "d" else timedelta(hours=count)
