"""Chooses which of an image's masks are trained on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UsageError
from pipeline.reading.arguments import real, whole
from pipeline.reading.record import Record


@dataclass(frozen=True)
class MaskSampling:
    """Keeps the masks that pass all limits; of more than `max_masks` a random choice, new each epoch.

    Area is the share of the image that a mask covers, 0 to 1.
    """

    min_iou: float | None = None  # predicted IoU
    min_stability: float | None = None
    min_area: float = 0.0
    max_area: float = 1.0
    max_masks: int | None = None

    def __post_init__(self) -> None:
        for name in ("min_iou", "min_stability", "min_area", "max_area"):
            if getattr(self, name) is not None or name in ("min_area", "max_area"):
                real(name, getattr(self, name))
        if self.max_masks is not None:
            whole("max_masks", self.max_masks, 1)
        if not 0 <= self.min_area <= self.max_area <= 1:
            raise UsageError(
                f"min_area is {self.min_area} and max_area is {self.max_area}; give shares of the image "
                "with 0 <= min_area <= max_area <= 1"
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it needs."""
        return (
            *(["mask_predicted_iou"] if self.min_iou is not None else []),
            *(["mask_stability_score"] if self.min_stability is not None else []),
            *(["mask_area"] if (self.min_area, self.max_area) != (0.0, 1.0) else []),
        )

    def sampled(self, record: Record, seed: int, epoch: int) -> Record:
        """The image with the masks that were chosen: the same ones for the same seed, epoch and image."""
        if self == MaskSampling():
            return record
        is_wanted = self._is_wanted(record)
        chosen = np.flatnonzero(is_wanted)
        if self.max_masks is not None and len(chosen) > self.max_masks:
            chance = np.random.default_rng([seed, epoch, int(record.image_id, 16)])
            chosen = np.sort(chance.choice(chosen, self.max_masks, replace=False))
        return record.select(chosen)

    def _is_wanted(self, record: Record) -> NDArray[np.bool_]:
        wanted = np.ones(len(record), np.bool_)
        if self.min_iou is not None:
            wanted &= record.predicted_iou >= np.float32(self.min_iou)
        if self.min_stability is not None:
            wanted &= record.stability_score >= np.float32(self.min_stability)
        if "mask_area" in self.columns:
            share = record.area / (record.height * record.width)
            wanted &= (share >= self.min_area) & (share <= self.max_area)
        return wanted
