"""Tighter thresholds on masks at hand, against a run with those thresholds."""

from typing import Any

import numpy as np
import pytest
from small_sam import small_sam

from sam_core.generator import SamAutomaticMaskGenerator
from sam_core.masks.image_masks import ImageMasks
from sam_core.masks.refilter import refiltered_masks
from sam_core.model.sam import Sam
from sam_core.options import MaskOptions

GRID = {"points_per_side": 4, "stability_score_offset": 0.2}
LOOSE = {**GRID, "pred_iou_thresh": 0, "stability_score_thresh": 0, "box_nms_thresh": 1, "crop_nms_thresh": 1}


@pytest.fixture(scope="module")
def sam() -> Sam:
    return small_sam()


def masks_with(sam: Sam, options: dict[str, Any]) -> ImageMasks:
    patches = np.random.default_rng(0).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    image = np.kron(patches, np.ones((20, 20, 1), np.uint8))[:70]
    return SamAutomaticMaskGenerator(sam, **options).generate_masks(image)


@pytest.mark.parametrize("crops", [{}, {"crop_n_layers": 1}], ids=str)
@pytest.mark.parametrize(
    "tighter",
    [
        {},
        {"pred_iou_thresh": 0.6, "stability_score_thresh": 0.3},
        {"box_nms_thresh": 0.99, "crop_nms_thresh": 0.9, "stability_score_thresh": 0.2},
        {"nms_overlap": "mask", "box_nms_thresh": 0.95, "max_mask_area": 0.5},
        {"min_mask_region_area": 20, "box_nms_thresh": 0.999, "reference": True},
    ],
    ids=str,
)
def test_as_if_labelled_again(sam: Sam, crops: dict[str, Any], tighter: dict[str, Any]) -> None:
    made_with, wanted = {**LOOSE, **crops}, {**LOOSE, **crops, **tighter}
    again = masks_with(sam, wanted)
    refiltered = refiltered_masks(masks_with(sam, made_with), MaskOptions(**made_with), MaskOptions(**wanted))
    assert refiltered.counts == again.counts
    assert len(again) > 0
    np.testing.assert_array_equal(refiltered.predicted_iou, again.predicted_iou)
    np.testing.assert_array_equal(refiltered.crop_box_xywh, again.crop_box_xywh)


def test_after_nms_a_higher_predicted_iou_is_known(sam: Sam) -> None:
    made_with = {**LOOSE, "box_nms_thresh": 0.999}
    wanted = {**made_with, "pred_iou_thresh": 0.5}
    refiltered = refiltered_masks(masks_with(sam, made_with), MaskOptions(**made_with), MaskOptions(**wanted))
    assert refiltered.counts == masks_with(sam, wanted).counts


@pytest.mark.parametrize(
    ("made_with", "wanted", "message"),
    [
        ({}, {"points_per_side": 16}, "points_per_side cannot change from 32 to 16"),
        ({}, {"stability_score_offset": 2.0}, "stability_score_offset cannot change"),
        ({}, {"pred_iou_thresh": 0.5}, "pred_iou_thresh was 0.88 and can only be raised"),
        ({"max_mask_area": 0.5}, {}, "max_mask_area was 0.5 and can only be lowered"),
        ({}, {"stability_score_thresh": 0.97}, "made with NMS"),
        ({"crop_n_layers": 1}, {"crop_n_layers": 1, "pred_iou_thresh": 0.9}, "made with NMS"),
        ({"min_mask_region_area": 9}, {"min_mask_region_area": 9}, "cleaned with min_mask_region_area"),
    ],
)
def test_options_that_need_other_masks_are_refused(
    made_with: dict, wanted: dict, message: str, sam: Sam
) -> None:
    masks = masks_with(sam, {**LOOSE, "points_per_side": 1})
    with pytest.raises(ValueError, match=message):
        refiltered_masks(masks, MaskOptions(**made_with), MaskOptions(**wanted))
