"""Tighter thresholds without running the model again: label once with loose ones, filter later.

Label with low `pred_iou_thresh` and `stability_score_thresh` and both NMS thresholds at 1, which suppresses
nothing. The dataset then has every mask that tighter options select from, and the selection uses the same
arithmetic as a run. After NMS has suppressed masks only `pred_iou_thresh` can still be raised, and only for a
single crop: NMS works by falling predicted IoU, so a mask below a threshold never suppresses one above.
"""

import numpy as np

from sam_core.masks.crops import labelled_crops
from sam_core.masks.image_masks import ImageMasks
from sam_core.masks.selection import after_nms_in_crop, masks_across_crops
from sam_core.masks.small_regions import masks_without_small_regions
from sam_core.masks.thresholds import passes_thresholds
from sam_core.options import MaskOptions

# These may differ from the options that the masks were made with; all others must be equal
CHANGEABLE = {
    "points_per_batch",
    "pred_iou_thresh",
    "stability_score_thresh",
    "box_nms_thresh",
    "crop_nms_thresh",
    "max_mask_area",
    "min_mask_region_area",
    "nms_overlap",
    "reference",
}
# The subset that may differ even if NMS has suppressed masks
KNOWN_AFTER_NMS = {
    "points_per_batch",
    "pred_iou_thresh",
    "min_mask_region_area",
    "reference",
}


def refiltered_masks(masks: ImageMasks, made_with: MaskOptions, options: MaskOptions) -> ImageMasks:
    """The masks that a run with `options` gives, from the masks of a run with the looser `made_with`.

    Raises: ValueError if these masks are not enough; it names the option.
    """
    check_refilter(made_with, options)
    passes_N = passes_thresholds(masks.predicted_iou, masks.stability_score, options)
    is_small_enough_N = masks.area <= options.max_mask_area * masks.height * masks.width
    masks = masks.select(passes_N & is_small_enough_N)
    parts = []
    crops = labelled_crops(masks.height, masks.width, options)
    for crop in crops:
        x0, y0, x1, y1 = crop.xyxy
        is_of_crop_N = (masks.crop_box_xywh == np.array([x0, y0, x1 - x0, y1 - y0])).all(axis=1)
        parts.append(after_nms_in_crop(masks.select(is_of_crop_N), options))
    masks = masks_across_crops(crops, parts, options)
    return masks_without_small_regions(masks, options) if options.min_mask_region_area else masks


def check_refilter(made_with: MaskOptions, options: MaskOptions) -> None:
    """Raises: ValueError if the masks of a run with `made_with` do not suffice for `options`."""
    before, after = made_with.model_dump(), options.model_dump()
    changed = {name for name in before if before[name] != after[name]}
    for name in sorted(changed - CHANGEABLE):
        raise ValueError(
            f"{name} cannot change from {before[name]} to {after[name]} without the model; label again"
        )
    for name in ("pred_iou_thresh", "stability_score_thresh"):
        if after[name] < before[name]:
            raise ValueError(
                f"{name} was {before[name]} and can only be raised, because masks below it were not kept; "
                "label again for a lower one"
            )
    if options.max_mask_area > made_with.max_mask_area:
        raise ValueError(
            f"max_mask_area was {made_with.max_mask_area} and can only be lowered, because larger masks were "
            "not kept; label again for a higher one"
        )
    if made_with.min_mask_region_area:
        raise ValueError(
            "the masks were cleaned with min_mask_region_area, and their state before was not kept; label "
            "again with min_mask_region_area at 0"
        )
    if made_with.box_nms_thresh == made_with.crop_nms_thresh == 1:
        return
    if changed - KNOWN_AFTER_NMS or options.crop_n_layers or options.tile_size:
        raise ValueError(
            "the masks were made with NMS, after which only pred_iou_thresh can be raised, without crops and "
            "tiles; for other changes label again with box_nms_thresh and crop_nms_thresh at 1"
        )
