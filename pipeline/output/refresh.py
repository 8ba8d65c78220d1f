"""A dataset's manifest brought up to its input: new images join, changed ones are labelled again.

Images that are gone from the input, or from what is chosen of it, keep their rows: the dataset says what was
labelled, not what is left. Those without a row yet are dropped.
"""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

import pyarrow as pa

from pipeline.output.dataset import Ids, is_among, packed_ids
from pipeline.output.format.manifest import ManifestRow


@dataclass
class Refreshed:
    """The merged listing; the counts are complete after it has been read to its end."""

    old: Iterable[ManifestRow]  # both sorted by uri
    listed: Iterable[ManifestRow]
    done_ids: Ids  # sorted, of the images that have a row
    images: int = 0
    added: int = 0
    gone: int = 0
    changed_ids: list[str] = field(default_factory=list)

    def rows(self) -> Iterator[ManifestRow]:
        """The rows of the new manifest, by uri."""
        both = heapq.merge(
            ((row, False) for row in self.old),
            ((row, True) for row in self.listed),
            key=lambda pair: pair[0].uri,
        )
        for _, same_uri in groupby(both, key=lambda pair: pair[0].uri):
            if row := self._merged({is_listed: row for row, is_listed in same_uri}):
                yield row

    def pending(self) -> Iterator[ManifestRow]:
        """The rows that a run would label."""
        changed = 0
        for row in self.rows():
            if not self._is_done(row) or len(self.changed_ids) > changed:
                yield row
            changed = len(self.changed_ids)

    def _is_done(self, row: ManifestRow) -> bool:
        return bool(is_among(packed_ids(pa.array([row.image_id])), self.done_ids).all())

    def _merged(self, rows: dict[bool, ManifestRow]) -> ManifestRow | None:
        """The row of one uri, from the old manifest's row (False), the listed one (True) or both."""
        before, listed = rows.get(False), rows.get(True)
        if listed is None and not self._is_done(rows[False]):
            return None
        self.images += 1
        if listed is None:
            self.gone += 1
            return rows[False]
        if before is None:
            self.added += 1
        elif before.etag != listed.etag:
            self.changed_ids.append(listed.image_id)
        return listed
