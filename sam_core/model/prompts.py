"""Checks prompts that come from callers, before anything is computed."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sam_core.arguments import Numbers, checked_coords, checked_numbers, in_words, refuse_no_boxes
from sam_core.model.prompt_encoder import BACKGROUND, FOREGROUND, NOT_A_POINT, PromptEncoder

Points = tuple[Tensor, Tensor] | None  # [B, N, 2], and the labels [B, N]
LABELS = {NOT_A_POINT, BACKGROUND, FOREGROUND}


def checked_points(point_coords: Any, point_labels: Any) -> tuple[Numbers, Numbers]:
    """Points [N, 2] and their labels [N]. Raises: ValueError for anything else."""
    refuse_no_labels(point_labels)
    expected = "point_coords must be finite numbers [N, 2], x and y"
    coords = checked_coords(point_coords, expected)
    if coords.ndim != 2:
        raise ValueError(f"{expected}, got {in_words(coords)}")
    if not np.isfinite(coords).all():
        raise ValueError(f"{expected}, got {coords[~np.isfinite(coords).all(axis=1)][0].tolist()} among them")
    expected = f"point_labels must be [N], one label per point: 1 (object), 0 (background) or {NOT_A_POINT}"
    labels = checked_numbers(point_labels, expected)
    if labels.shape != coords.shape[:1]:
        raise ValueError(f"{expected}, got {in_words(labels)} for {len(coords)} points")
    if others := set(labels.tolist()) - LABELS:
        raise ValueError(f"{expected}, got {others.pop()}")
    return coords, labels


def checked_box(box: Any) -> Numbers:
    """One box [1, 4]. Raises: ValueError for anything else."""
    numbers = checked_numbers(box, "box must be finite numbers [4], XYXY")
    if numbers.size != 4:
        raise ValueError(
            f"predict accepts one box [4], got {list(numbers.shape)}; use predict_torch for several"
        )
    if not np.isfinite(numbers).all():
        raise ValueError(f"box must be finite numbers [4], XYXY, got {numbers.ravel().tolist()}")
    return numbers.reshape(1, 4)


def checked_mask(mask_input: Any, encoder: PromptEncoder) -> Numbers | Tensor:
    """Logits [1, h, w], an array or a tensor. Raises: ValueError for anything else."""
    height, width = encoder.mask_input_size
    expected = f"mask_input must be the logits of an earlier prediction, [1, {height}, {width}]"
    mask = mask_input if isinstance(mask_input, Tensor) else checked_numbers(mask_input, expected)
    if tuple(mask.shape) != (1, height, width):
        raise ValueError(f"{expected}, got {in_words(mask)}")
    return mask


def checked_prompts(
    encoder: PromptEncoder, point_coords: Any, point_labels: Any, boxes: Any, masks: Any
) -> Points:
    """The points of B prompts and their labels, as the encoder needs them; None without points.

    As in the original, one mask may go with several prompts, and one prompt with several masks.
    Raises: ValueError for anything but tensors of these shapes, or if the batch sizes do not match.
    """
    points, batch = None, None
    if point_coords is not None:
        points = checked_point_tensors(point_coords, point_labels)
        batch = len(points[0])
    if boxes is not None:
        if not isinstance(boxes, Tensor):
            raise ValueError(f"boxes must be a tensor [B, 4], XYXY, got {in_words(boxes)}")
        refuse_no_boxes(tuple(boxes.shape), "boxes must be a tensor [B, 4], XYXY")
        count = boxes.numel() // 4
        if batch not in (None, count):
            raise ValueError(
                f"the points of {batch} prompts came with {count} boxes; give one box per prompt"
            )
        batch = count
    if masks is not None:
        size = encoder.mask_input_size
        if not isinstance(masks, Tensor) or masks.ndim != 4 or tuple(masks.shape[1:]) != (1, *size):
            raise ValueError(
                f"masks of prompts must be a tensor [B, 1, {size[0]}, {size[1]}], got {in_words(masks)}"
            )
        if batch not in (None, 1, len(masks)) and len(masks) != 1:
            raise ValueError(f"{batch} prompts came with {len(masks)} masks; give one mask per prompt")
    return points


def checked_point_tensors(point_coords: Any, point_labels: Any) -> tuple[Tensor, Tensor]:
    """Points [B, N, 2] and their labels [B, N], as signed numbers. Raises: ValueError for anything else."""
    refuse_no_labels(point_labels)
    if not isinstance(point_coords, Tensor) or point_coords.ndim != 3 or point_coords.shape[2] != 2:
        raise ValueError(f"point_coords must be a tensor [B, N, 2], x and y, got {in_words(point_coords)}")
    if not isinstance(point_labels, Tensor) or point_labels.shape != point_coords.shape[:2]:
        raise ValueError(
            f"point_labels must be a tensor [B, N], one label per point, got {in_words(point_labels)} for "
            f"points {list(point_coords.shape)}"
        )
    # Padding has the label -1, which these dtypes cannot hold.
    is_unsigned = point_labels.dtype in (torch.bool, torch.uint8)
    return point_coords, point_labels.int() if is_unsigned else point_labels


def refuse_no_labels(point_labels: object) -> None:
    """Raises: ValueError if there are no labels."""
    if point_labels is None:
        raise ValueError("point_coords came without point_labels; give one label per point")


def embedded_prompts(
    encoder: PromptEncoder, points: Points, boxes: Tensor | None, masks: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The encoder's sparse and dense embeddings of prompts; a single mask is repeated for all of them."""
    sparse, dense = encoder(points, boxes, masks)
    return sparse, dense.expand(max(len(sparse), len(dense)), -1, -1, -1)
