"""Distributions of the numbers of masks and images, which are added shard by shard."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.histogram import Histogram

_FINE_IOUS = np.linspace(0, 1.2, 241)  # a predicted IoU may be a little above 1
_FINE_STABILITIES = np.linspace(0, 1, 401)
_FINE_SHARES = np.logspace(-6, 0, 61)  # ten a decade, from a pixel of a megapixel on
_WHOLE = np.arange(0.0, 1202.0)


@dataclass
class Distributions:
    """The distributions of the rows that were read."""

    predicted_iou: Histogram = field(default_factory=lambda: Histogram(_FINE_IOUS))
    stability: Histogram = field(default_factory=lambda: Histogram(_FINE_STABILITIES))
    area_share: Histogram = field(default_factory=lambda: Histogram(_FINE_SHARES))
    masks: Histogram = field(default_factory=lambda: Histogram(_WHOLE))

    def add(self, table: pa.Table, of_row: NDArray[np.int64]) -> None:
        """Counts the rows of a table; `of_row` says which row each mask is of."""
        self.predicted_iou.add(pc.list_flatten(table["mask_predicted_iou"]))
        self.stability.add(pc.list_flatten(table["mask_stability_score"]))
        pixels = pc.multiply(table["width"].cast(pa.int64()), table["height"].cast(pa.int64()))
        pixels_N = pixels.fill_null(1).to_numpy()[of_row]
        self.area_share.add(np.asarray(pc.list_flatten(table["mask_area"])) / np.maximum(pixels_N, 1))
        self.masks.add(table["num_masks"].drop_null())

    def merge(self, other: "Distributions") -> None:
        self.predicted_iou.merge(other.predicted_iou)
        self.stability.merge(other.stability)
        self.area_share.merge(other.area_share)
        self.masks.merge(other.masks)
