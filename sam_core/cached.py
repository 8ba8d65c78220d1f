"""A property that is computed when it is first asked for, and kept; without a lock.

functools.cached_property of Python 3.11 holds one lock for all objects of a class while it computes a value.
So two images of two records could not be fetched at once. A process that was forked meanwhile would wait for
that lock for ever, since the thread that holds it does not exist there.
"""

import functools
from typing import Any, Self, TypeVar, overload

Value = TypeVar("Value")


class cached_property(functools.cached_property[Value]):  # noqa: N801  # as the one of functools
    """As functools.cached_property from Python 3.12 on: threads that ask at once may each compute it."""

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> Value: ...

    def __get__(self, instance: object, owner: type[Any] | None = None) -> Self | Value:
        if instance is None:
            return self
        assert self.attrname is not None  # noqa: S101
        value = instance.__dict__[self.attrname] = self.func(instance)
        return value
