"""Times in S3's answers, compared with botocore's parsing."""

import pytest
from botocore.utils import parse_timestamp

from pipeline.store.s3_answers import moment


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-01T00:00:00.000Z",
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00.1234567Z",
        "20260101T000000Z",
        "2026-01-01T00:00:00+02:00",
        "Thu, 01 Jan 2026 00:00:00 GMT",
        "1767225600",
        1767225600,
    ],
)
def test_a_time_is_what_botocore_reads(text: str | int) -> None:
    assert moment(text) == parse_timestamp(text)


def test_what_is_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="Invalid timestamp"):
        moment("Z")
