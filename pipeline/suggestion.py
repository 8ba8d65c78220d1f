"""The nearest known word, for a message about one that is not known."""

from collections.abc import Iterable
from difflib import get_close_matches


def suggestion(word: str, known: Iterable[str], least: float = 0.6) -> str:
    """`; did you mean X?` with the nearest known word; empty if none is near.

    `least` is the similarity, 0..1, from which a word counts as near.
    """
    matches = get_close_matches(word, list(known), n=1, cutoff=least)
    return f"; did you mean {matches[0]}?" if matches else ""
