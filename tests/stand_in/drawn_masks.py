"""ImageMasks from masks as pixels, with columns that are sound in every respect."""

from dataclasses import replace

import numpy as np

from sam_core.masks.image_masks import ImageMasks
from sam_core.masks.rle import area_of_runs, box_of_runs, compressed_counts, runs_of_mask


def image_masks(masks: list[np.ndarray], height: int, width: int) -> ImageMasks:
    """The masks as columns, with predicted IoUs that increase from mask to mask."""
    runs = [runs_of_mask(mask) for mask in masks]
    boxes = np.array([box_of_runs(run, height) for run in runs], np.float32).reshape(-1, 4)
    boxes[:, 2:] -= boxes[:, :2]
    scores = 0.5 + np.arange(len(masks), dtype=np.float32) / 10
    return ImageMasks(
        height=height,
        width=width,
        counts=[compressed_counts(run) for run in runs],
        area=np.array([area_of_runs(run) for run in runs], np.int64),
        bbox_xywh=boxes,
        predicted_iou=scores,
        stability_score=1 - scores / 10,
        point_coords=np.full((len(masks), 2), 3.5, np.float32),
        crop_box_xywh=np.tile(np.array([0, 0, width, height], np.float32), (len(masks), 1)),
    )


def with_vectors(masks: ImageMasks, seed: int | np.ndarray) -> ImageMasks:
    """The masks with vectors of their own, as the option mask_embeddings gives them."""
    vectors = np.random.default_rng(seed).normal(size=(len(masks) + 1, 256)).astype(np.float16)
    return replace(masks, embedding=vectors[:-1], image_embedding=vectors[-1])
