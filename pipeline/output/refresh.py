"""A dataset's manifest brought up to its input: new images join, changed ones are labelled again.

Images that are gone from the input keep their rows: the dataset says what was labelled, not what is left.
"""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

from pipeline.output.format.manifest import ManifestRow


@dataclass
class Refreshed:
    """The merged listing; the counts are complete after it has been read to its end."""

    old: Iterable[ManifestRow]  # both sorted by name
    listed: Iterable[ManifestRow]
    images: int = 0
    added: int = 0
    gone: int = 0
    changed_ids: list[str] = field(default_factory=list)

    def rows(self) -> Iterator[ManifestRow]:
        """The rows of the new manifest, by name."""
        both = heapq.merge(
            ((row, False) for row in self.old),
            ((row, True) for row in self.listed),
            key=lambda pair: pair[0].name,
        )
        for _, same_name in groupby(both, key=lambda pair: pair[0].name):
            yield self._merged({is_listed: row for row, is_listed in same_name})

    def pending(self, left: Iterable[ManifestRow]) -> Iterator[ManifestRow]:
        """The rows that a run would label; `left` are those of the old manifest that have no row yet."""
        rest, to_label = iter(left), 0
        next_left = next(rest, None)
        for row in self.rows():
            is_left = next_left is not None and next_left.name == row.name
            if is_left:
                next_left = next(rest, None)
            if is_left or self.added + len(self.changed_ids) > to_label:
                yield row
            to_label = self.added + len(self.changed_ids)

    def _merged(self, rows: dict[bool, ManifestRow]) -> ManifestRow:
        """The row of one image, from the old manifest's row (False), the listed one (True) or both."""
        self.images += 1
        before, listed = rows.get(False), rows.get(True)
        if listed is None:
            self.gone += 1
            return rows[False]
        if before is None:
            self.added += 1
        elif (before.uri, before.etag) != (listed.uri, listed.etag):
            self.changed_ids.append(listed.image_id)
        return listed
