"""Variables of INPUT and OUTPUT: the value of each, and one sentence for each without a value."""

from datetime import UTC, datetime

import pytest

from jobs.options.variables import Variables, escaped
from pipeline.errors import UsageError

NEW_YEAR = datetime(2027, 1, 1, 0, 30, tzinfo=UTC)


def filled_in(text: str, *given: str) -> str:
    return Variables.given(given, NEW_YEAR).filled_in(text, "input in job.toml")


@pytest.mark.parametrize(
    ("text", "given", "result"),
    [
        ("s3://p/${DATE}", [], "s3://p/2027-01-01"),
        ("s3://p/${DATE-1d}", [], "s3://p/2026-12-31"),
        ("s3://p/${YEAR-1h}/${MONTH-1h}/${DAY-1h}/${HOUR-1h}", [], "s3://p/2026/12/31/23"),
        ("s3://p/${DAY+30d}", [], "s3://p/31"),
        ("s3://p/${DATE-1d}/${HOUR}", ["DATE=2024-03-01"], "s3://p/2024-02-29/00"),
        ("s3://p/${DATE}/${HOUR}", ["DATE=2024-03-01T07"], "s3://p/2024-03-01/07"),
        ("s3://p/${DATE}", ["YEAR=1"], "s3://p/2027-01-01"),
        ("${A}${B}", ["A=${B}", "B="], "${B}"),
        ("/a$b/$$c/$/{d}", [], "/a$b/$$c/$/{d}"),
        ("/a/$${DATE}", [], "/a/${DATE}"),
    ],
)
def test_a_variable_comes_to_its_value(text: str, given: list[str], result: str) -> None:
    assert filled_in(text, *given) == result


@pytest.mark.parametrize(
    ("text", "given", "sentence"),
    [
        (
            "${REGION}",
            [],
            r"input in job.toml names \$\{REGION\}, which is not set; give it with --var REGION=VAL",
        ),
        ("${DAT}", [], "did you mean DATE"),
        ("${DATE-1w}", [], r"holds '\$\{DATE-1w\}', which is not a variable"),
        ("${DATE", [], "which is not a variable"),
        ("${}", [], "which is not a variable"),
        ("${A-1d}", ["A=x"], "adds days or hours to A; only DATE, YEAR, MONTH, DAY and HOUR allow"),
        ("${YEAR-99999d}${YEAR-99999d}${DATE-99999d}", ["DATE=0001-01-01"], "is outside the calendar"),
        ("", ["=x"], "give NAME=VALUE"),
        ("", ["A"], "give NAME=VALUE"),
        ("", ["DATE=yesterday"], "give a day such as 2026-11-01"),
        ("", ["DATE=2026-02-30"], "give a day such as 2026-11-01"),
    ],
)
def test_what_comes_to_nothing_is_one_sentence(text: str, given: list[str], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence) as refused:
        filled_in(text, *given)
    assert "\n" not in str(refused.value)


def test_a_variable_that_nothing_names_is_refused() -> None:
    variables = Variables.given(["DAT=2026-11-01", "REGION=eu"], NEW_YEAR)
    variables.filled_in("${DATE}/${REGION}", "INPUT")
    with pytest.raises(UsageError, match=r"sets DAT, which neither INPUT nor OUTPUT uses; did you mean DATE"):
        variables.refuse_unused()
    dated = Variables.given(["DATE=2026-11-01"], NEW_YEAR)
    assert dated.filled_in("${YEAR}", "INPUT") == "2026"
    dated.refuse_unused()


@pytest.mark.parametrize("text", ["a${b", "$${x}", "$$${DATE}", "${DATE}$"])
def test_an_escaped_text_comes_to_itself(text: str) -> None:
    assert filled_in(escaped(text)) == text
