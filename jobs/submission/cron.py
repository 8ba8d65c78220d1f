"""Reads and checks cron lines, so that a mistake shows here and not in a scheduler that nobody watches.

A line has five fields as in crontab(5), or is @hourly, @daily, @weekly, @monthly or @yearly. Times are UTC.
The text that comes out means the same to cron, Kubernetes, Slurm and Airflow: it has numbers in place of
names, and Sunday is 0.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.errors import UsageError
from pipeline.suggestion import suggestion

NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
MOST_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_ITEM = re.compile(r"(?:(?P<all>\*)|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\d+))?")


@dataclass(frozen=True)
class Field:
    """One of the five fields, and the values that it may have; `names` stand for those from `least` on."""

    title: str
    least: int
    most: int
    names: tuple[str, ...] = ()

    @property
    def is_days_of_week(self) -> bool:
        return self.names == DAYS


FIELDS = (
    Field("minute", 0, 59),
    Field("hour", 0, 23),
    Field("day of the month", 1, 31),
    Field("month", 1, 12, MONTHS),
    Field("day of the week", 0, 6, DAYS),
)


@dataclass(frozen=True)
class Cron:
    """The values of each field, sorted; None for all of them, written `*`."""

    minutes: tuple[int, ...] | None
    hours: tuple[int, ...] | None
    days: tuple[int, ...] | None
    months: tuple[int, ...] | None
    weekdays: tuple[int, ...] | None

    @classmethod
    def of(cls, line: str) -> "Cron":
        """Reads a line. Raises: UsageError if it is no cron line, or names a day that never comes."""
        words = line.split()
        if len(words) == 1 and words[0].startswith("@"):
            if words[0].lower() not in NICKNAMES:
                hint = suggestion(words[0].lower(), NICKNAMES) or f"; known are {', '.join(NICKNAMES)}"
                raise UsageError(f"--cron is {line!r}, which is not a schedule{hint}")
            words = NICKNAMES[words[0].lower()].split()
        if len(words) != len(FIELDS):
            raise UsageError(
                f"--cron is {line!r}, which has {len(words)} fields instead of five: minute, hour, day of "
                "the month, month, day of the week, as in '0 2 * * *' for every night at 2:00 UTC"
            )
        cron = cls(*(_values(field, word, line) for field, word in zip(FIELDS, words, strict=True)))
        cron._refuse_days_that_differ(line, words[2], words[4])
        if cron._never_comes():
            raise UsageError(f"--cron is {line!r}, a date that does not exist; correct the day or the month")
        return cron

    def __str__(self) -> str:
        has_both = bool(self.days and self.weekdays)
        texts = zip(FIELDS, self._all, strict=True)
        return " ".join(_text(field, values, stars=not has_both) for field, values in texts)

    @property
    def calendars(self) -> list[str]:
        """The same for systemd's OnCalendar=; two if both days of the month and of the week are given."""
        time = f"{_two(self.hours)}:{_two(self.minutes)}:00 UTC"
        weekdays = ",".join(DAYS[day].capitalize() for day in self.weekdays or ())
        date, any_date = f"*-{_two(self.months)}-{_two(self.days)}", f"*-{_two(self.months)}-*"
        if not self.weekdays:
            return [f"{date} {time}"]
        by_weekday = f"{weekdays} {any_date} {time}"
        return [by_weekday] if self.days is None else [f"{date} {time}", by_weekday]

    @property
    def _all(self) -> tuple[tuple[int, ...] | None, ...]:
        return (self.minutes, self.hours, self.days, self.months, self.weekdays)

    def _refuse_days_that_differ(self, line: str, day: str, weekday: str) -> None:
        """Raises UsageError for days that not every scheduler reads as `days` and `weekdays` have them."""
        if self.days and self.weekdays and "*" in day + weekday:
            raise UsageError(
                f"--cron is {line!r}, which cron and Kubernetes read differently; if both the day of the "
                "month and the day of the week are given, use lists and ranges, without *"
            )
        for word, values, other in (day, self.days, self.weekdays), (weekday, self.weekdays, self.days):
            if values is None and other and "*" not in word:
                raise UsageError(
                    f"--cron is {line!r}: cron would start a run every day, since {word!r} covers all days; "
                    "write * there, so that only the other field's days count"
                )

    def _never_comes(self) -> bool:
        if self.days is None or self.weekdays is not None:
            return False
        months = self.months or range(1, 13)
        return all(day > MOST_DAYS[month - 1] for day in self.days for month in months)


def _values(field: Field, word: str, line: str) -> tuple[int, ...] | None:
    values: set[int] = set()
    for item in word.lower().split(","):
        match = _ITEM.fullmatch(item)
        if match is None or (match["step"] and not (match["all"] or match["last"])):
            raise _wrong(field, item, line)
        step = int(match["step"] or 1)
        first = field.least if match["all"] else _number(field, match["first"], line)
        last = field.most if match["all"] else _number(field, match["last"] or match["first"], line)
        if step < 1 or last < first:
            raise _wrong(field, item, line)
        values |= set(range(first, last + 1, step))
    if field.is_days_of_week:
        values = {day % 7 for day in values}
    if word == "*" or len(values) == field.most - field.least + 1:
        return None
    return tuple(sorted(values))


def _number(field: Field, text: str, line: str) -> int:
    if text in field.names:
        return field.names.index(text) + field.least
    most = 7 if field.is_days_of_week else field.most  # Sunday is 0 and 7
    if not text.isascii() or not text.isdigit() or not field.least <= int(text) <= most:
        raise _wrong(field, text, line)
    return int(text)


def _wrong(field: Field, item: str, line: str) -> UsageError:
    names = f" or {field.names[0]} to {field.names[-1]}" if field.names else ""
    return UsageError(
        f"--cron is {line!r}, whose {field.title} has {item!r}: give *, {field.least} to {field.most}{names}"
        ", lists (1,15), ranges (1-5) and steps (*/10)"
    )


def _text(field: Field, values: Sequence[int] | None, stars: bool) -> str:
    """`*`, `*/10` (only with `stars`) or a list: forms that every scheduler can read."""
    if values is None:
        return "*"
    step = values[1] - values[0] if stars and len(values) > 2 else 0
    if step and tuple(values) == tuple(range(field.least, field.most + 1, step)):
        return f"*/{step}"
    return ",".join(map(str, values))


def _two(values: Sequence[int] | None) -> str:
    return "*" if values is None else ",".join(f"{value:02}" for value in values)
