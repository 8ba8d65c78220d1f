"""Counts the things that are equal to an earlier one, by hashes, in bounded memory."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
MOST_HELD = 1 << 22  # hashes of 8 bytes: 32 MB


@dataclass
class Repeats:
    """Exact up to `most_held` things. Of more, only hashes that are multiples of 2, 4, ... are held."""

    most_held: int = MOST_HELD
    things: int = 0
    one_in: int = 1  # one in so many hashes is held, and stands for the others
    _held: list[Hashes] = field(default_factory=list)
    _held_number: int = 0

    def add(self, hashes: Hashes) -> None:
        """Counts things with these hashes."""
        self.things += len(hashes)
        self._hold(hashes)

    def merge(self, other: "Repeats") -> None:
        """Counts the other's things too."""
        self.things += other.things
        self.one_in = max(self.one_in, other.one_in)
        held, self._held, self._held_number = [*self._held, *other._held], [], 0
        for hashes in held:
            self._hold(hashes)

    @property
    def number(self) -> int:
        """The number of things that are equal to an earlier one; estimated if `one_in` is not 1."""
        held = np.sort(np.concatenate([np.zeros(0, np.uint64), *self._held]))
        return int((held[1:] == held[:-1]).sum()) * self.one_in

    def _hold(self, hashes: Hashes) -> None:
        self._held.append(self._of_part(hashes))
        self._held_number += len(self._held[-1])
        while self._held_number > self.most_held:
            self.one_in *= 2
            self._held = [self._of_part(np.concatenate(self._held))]
            self._held_number = len(self._held[0])

    def _of_part(self, hashes: Hashes) -> Hashes:
        part: Hashes = hashes[hashes % np.uint64(self.one_in) == 0]
        return part
