"""Crop edges and NMS inside and across crops, on masks that are rectangles."""

import numpy as np
import pytest

from sam_core.label_map import label_map
from sam_core.masks.candidates import Candidates
from sam_core.masks.crops import XYXY, Crop
from sam_core.masks.image_masks import ImageMasks
from sam_core.masks.rle import runs_of_mask
from sam_core.masks.selection import is_cut_off, masks_across_crops, masks_of_crop
from sam_core.options import MaskOptions

SIZE = (100, 120)  # (height, width) of the image
WHOLE: XYXY = (0, 0, 120, 100)


def rectangles(*boxes: XYXY, crop_xyxy: XYXY, predicted_iou: list[float]) -> Candidates:
    """Candidates that fill boxes given in the image's frame, last pixel inside."""
    x0, y0, x1, y1 = crop_xyxy
    boxes_N4 = np.array(boxes, dtype=np.int64) - [x0, y0, x0, y0]
    masks = []
    for left, top, right, bottom in boxes_N4:
        mask = np.zeros((y1 - y0, x1 - x0), dtype=bool)
        mask[top : bottom + 1, left : right + 1] = True
        masks.append(mask)
    return Candidates(
        np.array(predicted_iou, dtype=np.float32),
        np.full(len(boxes), 0.97, dtype=np.float32),
        np.array([mask.sum() for mask in masks]),
        boxes_N4,
        np.arange(len(boxes)),
        lambda order: (runs_of_mask(masks[index]) for index in order),
    )


def selected(
    *boxes: XYXY, crop_xyxy: XYXY = WHOLE, predicted_iou: list[float], **options: object
) -> ImageMasks:
    candidates = rectangles(*boxes, crop_xyxy=crop_xyxy, predicted_iou=predicted_iou)
    points = np.full((len(boxes), 2), 3.0)
    return masks_of_crop(candidates, points, crop_xyxy, SIZE, MaskOptions(**options))


def test_the_better_of_two_masks_stays_in_the_frame_of_the_image() -> None:
    crop = (50, 20, 120, 100)
    boxes = [(80, 50, 99, 69), (80, 50, 99, 70), (50 + 25, 80, 119, 99)]
    masks = selected(*boxes, crop_xyxy=crop, predicted_iou=[0.9, 0.95, 0.89])
    assert masks.predicted_iou.tolist() == [np.float32(0.95), np.float32(0.89)]
    assert masks.bbox_xywh.tolist() == [[80, 50, 19, 20], [75, 80, 44, 19]]
    assert masks.area.tolist() == [20 * 21, 45 * 20]
    assert masks.crop_box_xywh.tolist() == [[50, 20, 70, 80]] * 2
    assert masks.point_coords.tolist() == [[53, 23]] * 2
    y, x = masks.mask(0).nonzero()
    assert (x.min(), x.max(), y.min(), y.max()) == (80, 99, 50, 70)


@pytest.mark.parametrize(
    ("box", "is_cut"),
    [
        ((60, 40, 90, 60), True),  # 10 from the crop's left edge
        ((70, 40, 90, 60), True),  # 20: still near
        ((71, 41, 90, 60), False),
        ((75, 45, 119, 99), False),  # touches an edge of the crop that is the image's
    ],
)
def test_masks_at_the_edge_of_a_crop_are_cut_off(box: XYXY, is_cut: bool) -> None:
    assert is_cut_off(np.array([box]), (50, 20, 120, 100), SIZE).tolist() == [is_cut]


CROPS = [Crop(WHOLE, 0), Crop((0, 0, 60, 100), 1), Crop((40, 0, 120, 100), 1)]


def across(predicted_iou: list[float], reference: bool) -> ImageMasks:
    """One object, seen in the image and in two crops, the second larger than the first."""
    boxes: list[XYXY] = [(20, 30, 58, 60), (20, 30, 55, 60), (20, 30, 56, 60)]
    parts = [
        selected(box, crop_xyxy=WHOLE, predicted_iou=[iou])
        for box, iou in zip(boxes, predicted_iou, strict=True)
    ]
    boxed = [
        ImageMasks(
            **{**vars(part), "crop_box_xywh": np.array([[x0, y0, x1 - x0, y1 - y0]], dtype=np.float32)}
        )
        for part, (x0, y0, x1, y1) in zip(parts, [crop.xyxy for crop in CROPS], strict=True)
    ]
    return masks_across_crops(CROPS, boxed, MaskOptions(crop_n_layers=1, reference=reference))


def test_the_deeper_layer_wins_and_in_it_the_better_mask() -> None:
    """In SA the smaller crop wins, whatever the predicted IoU."""
    assert across([0.99, 0.90, 0.95], reference=False).predicted_iou.tolist() == [np.float32(0.95)]
    assert across([0.99, 0.90, 0.95], reference=True).predicted_iou.tolist() == [np.float32(0.90)]


def test_a_pixel_belongs_to_the_smallest_mask_that_has_it() -> None:
    masks = selected((10, 10, 59, 59), (20, 20, 29, 29), (50, 50, 79, 79), predicted_iou=[0.9, 0.95, 0.93])
    labels = label_map(masks)  # the masks are ordered by predicted IoU: small, lower right, large
    assert labels.shape == SIZE
    assert labels.dtype == np.int32
    assert np.bincount(labels.ravel()).tolist() == [100 * 120 - 2500 - 900 + 100, 100, 900, 2500 - 100 - 100]
    assert labels[25, 25] == 1
    assert labels[55, 55] == 2
    assert labels[0, 0] == 0
