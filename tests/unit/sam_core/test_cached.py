"""Properties that are kept: computed once for each object, for several objects at a time."""

import threading
from concurrent.futures import ThreadPoolExecutor

from sam_core.cached import cached_property


class Met:
    """Its value is known once two threads compute one."""

    def __init__(self, both: threading.Barrier) -> None:
        self.both = both
        self.computed = 0

    @cached_property
    def value(self) -> int:
        """The order of arrival."""
        self.computed += 1
        return self.both.wait(60)


def test_the_values_of_two_objects_are_computed_at_once_and_kept() -> None:
    both = threading.Barrier(2)
    objects = [Met(both), Met(both)]
    with ThreadPoolExecutor(2) as threads:
        values = list(threads.map(lambda one: one.value, objects))
    assert sorted(values) == [0, 1]
    assert [one.value for one in objects] == values
    assert [one.computed for one in objects] == [1, 1]


def test_the_class_has_the_property_with_its_text() -> None:
    assert Met.value.__doc__ == "The order of arrival."
