"""Figures of all images, from the columns of a dataset, shard by shard, without decoding a mask."""

from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.histogram import COUNTS, ESTIMATES, SCORES, SHARES_BY_SIZE, Histogram
from pipeline.statistics.repeats import Hashes, Repeats

COLUMNS = (
    "etag",
    "width",
    "height",
    "error",
    "num_masks",
    "mask_area",
    "mask_predicted_iou",
    "mask_stability_score",
)
# An object store's ETag is a hash of the content. A disk's etag is not, and the ETags of encrypted objects
# differ for equal contents.
_CONTENT_ETAG = "^[0-9a-f]{32}(-[0-9]+)?$"


@dataclass
class ColumnFigures:
    """Figures of the rows that were added, or merged from other such figures."""

    rows: int = 0
    failed: Counter[str] = field(default_factory=Counter)  # by Reason
    zero_masks: int = 0  # labelled images without a mask
    masks_an_image: Histogram = field(default_factory=lambda: Histogram(COUNTS))
    area_share: Histogram = field(default_factory=lambda: Histogram(SHARES_BY_SIZE))
    predicted_iou: Histogram = field(default_factory=lambda: Histogram(ESTIMATES))
    stability_score: Histogram = field(default_factory=lambda: Histogram(SCORES))
    same_etag: Repeats = field(default_factory=Repeats)  # of images whose etag tells their content
    same_masks: Repeats = field(default_factory=Repeats)  # of images with masks, areas and scores alike

    def add(self, table: pa.Table) -> None:
        """Counts the rows of a table with COLUMNS."""
        self.rows += table.num_rows
        self.failed.update(table["error"].drop_null().to_pylist())
        labelled = table.filter(pc.is_valid(table["num_masks"])).combine_chunks()
        if not labelled.num_rows:
            return
        counts = _numbers(labelled["num_masks"])
        pixels = _numbers(labelled["width"]).astype(np.int64) * _numbers(labelled["height"])
        area, iou = _flat(labelled["mask_area"]), _flat(labelled["mask_predicted_iou"])
        self.zero_masks += int((counts == 0).sum())
        self.masks_an_image.add(counts)
        self.area_share.add(area / np.repeat(pixels, counts))
        self.predicted_iou.add(iou)
        self.stability_score.add(_flat(labelled["mask_stability_score"]))
        self.same_etag.add(_content_hashes(labelled["etag"]))
        self.same_masks.add(_mask_hashes(counts, pixels, area, iou))

    def merge(self, other: "ColumnFigures") -> None:
        """Counts the other's rows too."""
        self.rows += other.rows
        self.failed += other.failed
        self.zero_masks += other.zero_masks
        for name in ("masks_an_image", "area_share", "predicted_iou", "stability_score"):
            getattr(self, name).merge(getattr(other, name))
        self.same_etag.merge(other.same_etag)
        self.same_masks.merge(other.same_masks)


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(column)


def _flat(lists: pa.ChunkedArray) -> np.ndarray:
    """The values of all lists, one after the other."""
    return np.asarray(pc.list_flatten(lists))


def _content_hashes(etags: pa.ChunkedArray) -> Hashes:
    of_content = etags.filter(pc.match_substring_regex(etags, _CONTENT_ETAG))
    digits = pc.utf8_slice_codeunits(of_content, 0, 16).to_pylist()
    return np.frombuffer(bytes.fromhex("".join(digits)), np.uint64)


def _mask_hashes(counts: np.ndarray, pixels: np.ndarray, area: np.ndarray, iou: np.ndarray) -> Hashes:
    """A hash for each image that has masks: equal images have equal areas and scores to the last bit."""
    edges = np.concatenate([[0], np.cumsum(counts)]).tolist()
    digests = [
        blake2b(
            b"%d " % size + area[start:stop].tobytes() + iou[start:stop].tobytes(), digest_size=8
        ).digest()
        for size, (start, stop) in zip(pixels.tolist(), pairwise(edges), strict=True)
        if stop > start
    ]
    return np.frombuffer(b"".join(digests), np.uint64)
