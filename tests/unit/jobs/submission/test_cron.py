"""Cron lines: their minutes, their systemd form, and one sentence for a wrong line."""

import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from jobs.submission.cron import Cron
from pipeline.errors import UsageError


def is_due(cron: Cron, moment: datetime) -> bool:
    """Whether the line names the minute, read as crontab(5) does."""

    def among(values: tuple[int, ...] | None, value: int) -> bool:
        return values is None or value in values

    day, weekday = among(cron.days, moment.day), among(cron.weekdays, moment.isoweekday() % 7)
    both = cron.days is not None and cron.weekdays is not None
    return (
        among(cron.minutes, moment.minute)
        and among(cron.hours, moment.hour)
        and among(cron.months, moment.month)
        and (day or weekday if both else day and weekday)
    )


@pytest.mark.parametrize(
    ("line", "text", "starts"),  # in November 2026, whose first day is a Sunday
    [
        ("0 2 * * *", "0 2 * * *", 30),
        ("@daily", "0 0 * * *", 30),
        ("*/20 * * * *", "*/20 * * * *", 3 * 24 * 30),
        ("0 8-18/2 * * mon-FRI", "0 8,10,12,14,16,18 * * 1,2,3,4,5", 6 * 21),
        ("30 4 1,15 * 7", "30 4 1,15 * 0", 5),  # both of these days are Sundays
        ("0 0 13 nov 5", "0 0 13 11 5", 4),  # the 13th is a Friday
        ("0 0 31 * *", "0 0 31 * *", 0),
        ("0 0 * * sun-sat", "0 0 * * *", 30),
        ("0 0 1-31 * 0-7", "0 0 * * *", 30),
        ("0 2 */1 * mon", "0 2 * * 1", 5),
        ("0 0 * 1-12/2 *", "0 0 * */2 *", 30),
    ],
)
def test_a_line_names_its_minutes(line: str, text: str, starts: int) -> None:
    cron = Cron.of(line)
    assert str(cron) == text
    assert Cron.of(text) == cron
    first = datetime(2026, 11, 1, tzinfo=UTC)
    assert (
        sum(is_due(cron, first + timedelta(minutes=minute)) for minute in range(0, 30 * 24 * 60, 10))
        == starts
    )


@pytest.mark.parametrize("line", ["*/15 8-18 * * mon-fri", "30 4 1,15 * 7", "0 0 * * *", "5 4 31 1-12/2 *"])
def test_systemd_reads_the_calendars(line: str) -> None:
    cron = Cron.of(line)
    checked = subprocess.run(
        [
            "systemd-analyze",
            "calendar",
            "--base-time=2026-11-01 00:00:00 UTC",
            "--iterations=3",
            *cron.calendars,
        ],
        capture_output=True,
        text=True,
        env={"TZ": "UTC", "PATH": "/usr/bin:/bin"},
    )
    assert checked.returncode == 0, checked.stderr
    stamps = [
        datetime.strptime(word, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        for line in checked.stdout.splitlines()
        if line.strip().startswith(("Next elapse:", "Iter."))
        for word in [" ".join(line.split()[-3:-1])]
    ]
    assert len(stamps) >= 3
    assert all(is_due(cron, stamp) for stamp in stamps)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("", "has 0 fields instead of five"),
        ("0 0 2 * * *", "has 6 fields instead of five"),
        ("tomorrow", "has 1 fields instead of five"),
        ("@dayly", "did you mean @daily"),
        ("60 * * * *", "whose minute has '60': give \\*, 0 to 59"),
        ("* * * foo *", "whose month has 'foo': give \\*, 1 to 12 or jan to dec"),
        ("5/10 * * * *", "whose minute has '5/10'"),
        ("*/0 * * * *", "whose minute has"),
        ("9-3 * * * *", "whose minute has '9-3'"),
        ("1,,2 * * * *", "whose minute has ''"),
        ("٣ * * * *", "whose minute has"),
        ("0 0 30 2 *", "a date that does not exist"),
        ("0 0 */2 * 1", "read differently"),
        ("0 2 1-31 * mon", "cron would start a run every day, since '1-31' covers all days"),
        ("0 2 13 * sun-sat", "since 'sun-sat' covers all days; write \\* there"),
    ],
)
def test_a_wrong_line_is_one_sentence(line: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence) as refused:
        Cron.of(line)
    assert "\n" not in str(refused.value)
