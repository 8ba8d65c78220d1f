"""What a person probably meant: one way to say it in every message about an unknown word."""

from collections.abc import Iterable
from difflib import get_close_matches


def suggestion(word: str, known: Iterable[str], least: float = 0.6) -> str:
    """`; did you mean X?` with the nearest known word, empty where none is near: `least` of 1 is the same."""
    matches = get_close_matches(word, list(known), n=1, cutoff=least)
    return f"; did you mean {matches[0]}?" if matches else ""
