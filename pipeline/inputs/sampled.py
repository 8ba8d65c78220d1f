"""A sample of images: the N with the lowest hashes of ids, in one pass, in memory for N hashes.

Rows that may be among the N go to a file on the local disk: N (1 + ln(images / N)) of them are expected.
"""

import json
import tempfile
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import islice

import numpy as np

from pipeline.inputs.skipped import Skipped, Why
from pipeline.output.format.manifest import ManifestRow
from pipeline.store.local_disk import local_disk

ROWS_AT_ONCE = 10_000  # rows that are compared with the N lowest hashes at a time


def sampled(rows: Iterable[ManifestRow], count: int, seed: int, skipped: Skipped) -> Iterator[ManifestRow]:
    """`count` of the rows, in their order; all if there are no more. Raises: SamLabelError."""
    lowest = np.empty(0, np.uint64)
    highest = np.iinfo(np.uint64).max  # the highest hash that may be in the sample
    rest = iter(rows)
    disk = local_disk("the sample cannot be drawn")
    with disk, tempfile.TemporaryFile("w+", prefix="sam-label-") as likely:
        while chunk := list(islice(rest, ROWS_AT_ONCE)):
            hashes = [_hash(row, seed) for row in chunk]
            lowest = np.concatenate([lowest, np.array(hashes, np.uint64)])
            if lowest.size > count:
                lowest = np.partition(lowest, count - 1)[:count]
                highest = lowest.max()
            for row, number in zip(chunk, hashes, strict=True):
                if number <= highest:
                    likely.write(json.dumps([number, row]) + "\n")
                else:
                    skipped.add(row.uri, Why.SAMPLE)
        likely.seek(0)
        for line in likely:
            number, fields = json.loads(line)
            row = ManifestRow(*fields)
            if number <= highest:
                yield row
            else:
                skipped.add(row.uri, Why.SAMPLE)


def _hash(row: ManifestRow, seed: int) -> int:
    return int.from_bytes(blake2b(f"{seed} {row.image_id}".encode(), digest_size=8).digest())
