"""Updates a dataset's manifest from its input: new images join, changed ones are labelled again.

Images that are gone from the input, or are no longer chosen from it, keep their rows: the dataset says what
was labelled, not what is left. Those without a row yet are dropped.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from pipeline.output.format.manifest import ManifestRow


@dataclass
class Refreshed:
    """The merged listing; the counts are complete after it has been read to its end."""

    # All three are sorted by name; `left` are rows of the old manifest whose images are still to be labelled.
    old: Iterable[ManifestRow]
    listed: Iterable[ManifestRow]
    left: Iterable[ManifestRow]
    on_changed: Callable[[str], None] | None = None  # called with the id of each changed image
    images: int = 0
    added: int = 0
    gone: int = 0
    changed: int = 0

    def rows(self) -> Iterator[ManifestRow]:
        """The rows of the new manifest, by name."""
        return (row for row, _ in self._merged())

    def pending(self) -> Iterator[ManifestRow]:
        """The rows that a run would label."""
        return (row for row, is_pending in self._merged() if is_pending)

    def _merged(self) -> Iterator[tuple[ManifestRow, bool]]:
        """The rows of the new manifest, each with whether it is to be labelled."""
        both = heapq.merge(
            ((row, False) for row in self.old),
            ((row, True) for row in self.listed),
            key=lambda pair: pair[0].name,
        )
        rest = iter(self.left)
        next_left = next(rest, None)
        for name, same_name in groupby(both, key=lambda pair: pair[0].name):
            rows = {is_listed: row for row, is_listed in same_name}
            is_left = next_left is not None and next_left.name == name
            if is_left:
                next_left = next(rest, None)
            before, listed = rows.get(False), rows.get(True)
            if listed is None:
                if not is_left:
                    self.images += 1
                    self.gone += 1
                    yield rows[False], False
                continue
            self.images += 1
            is_changed = before is not None and (before.uri, before.etag) != (listed.uri, listed.etag)
            if before is None:
                self.added += 1
            elif is_changed:
                self.changed += 1
                if self.on_changed:
                    self.on_changed(listed.image_id)
            yield listed, is_left or is_changed or before is None
