"""Locks that a forked process can use, such as a DataLoader's worker.

A fork copies a lock as it is, but of the threads only the one that forked. A lock that another thread held
would be held in the copy for ever.
"""

import os
from weakref import WeakSet


class WithLocks:
    """An object whose `make_locks` is called when it is made, and again in each forked process."""

    def __init__(self) -> None:
        self.make_locks()
        _all.add(self)

    def make_locks(self) -> None:
        """Sets the locks, and forgets what only threads of another process were doing."""
        raise NotImplementedError


_all: WeakSet[WithLocks] = WeakSet()


def _make_locks() -> None:
    for one in _all:
        one.make_locks()


os.register_at_fork(after_in_child=_make_locks)
