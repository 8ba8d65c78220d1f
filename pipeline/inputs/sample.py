"""A few images that represent an input, chosen by a seed in one listing."""

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from pipeline.output.format.manifest import ManifestRow
from pipeline.store.objects import UNKNOWN_SIZE


@dataclass(frozen=True)
class Sample:
    """The chosen rows, in listing order, and how many there are to choose from."""

    rows: list[ManifestRow]
    images: int
    size_bytes: int  # of all images, except those of unknown size
    unknown_sizes: int = 0


def sampled(rows: Iterable[ManifestRow], count: int, seed: int) -> Sample:
    """At most `count` of the rows, each as likely as any other; memory holds no more than these."""
    chosen: list[tuple[int, ManifestRow]] = []
    rng, images, size_bytes, unknown = Random(seed), 0, 0, 0
    for row in rows:
        place = images if images < count else rng.randrange(images + 1)
        if place < len(chosen):
            chosen[place] = (images, row)
        elif place < count:
            chosen.append((images, row))
        images += 1
        size_bytes += max(row.size, 0)
        unknown += row.size == UNKNOWN_SIZE
    return Sample([row for _, row in sorted(chosen)], images, size_bytes, unknown)
