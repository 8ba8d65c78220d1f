"""How work that takes long says how far it is: it calls a function that its caller has given."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
Progress = Callable[[int, int], None]  # takes how many are done, and how many there are: 0 if that is unknown
# The same for work in several steps: first takes what is counted, such as "images listed".
Steps = Callable[[str, int, int], None]
EVERY = 1000  # items, so that telling costs nothing beside the items themselves


def silent(done: int, whole: int) -> None:
    """The progress of work whose caller does not ask for it."""


def silent_steps(what: str, done: int, whole: int) -> None:
    """The progress of work in several steps whose caller does not ask for it."""


def told(items: Iterable[T], progress: Progress) -> Iterator[T]:
    """The items; tells how many there were so far."""
    for number, item in enumerate(items, 1):
        yield item
        if number % EVERY == 0:
            progress(number, 0)
