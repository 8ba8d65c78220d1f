"""Tighter thresholds without running the model again: label once with loose ones, choose later.

Label with `pred_iou_thresh` and `stability_score_thresh` low and both NMS thresholds at 1, which suppresses
nothing: the masks are then all that any tighter options choose from, and the choice is the same arithmetic as
in a run. After an NMS that did suppress, only a higher `pred_iou_thresh` over one crop is still known: NMS
goes by falling predicted IoU, so that what is kept above a threshold does not depend on what lies below it.
"""

import numpy as np

from sam_core.masks.crops import labelled_crops
from sam_core.masks.image_masks import ImageMasks
from sam_core.masks.selection import after_nms_in_crop, masks_across_crops
from sam_core.masks.small_regions import masks_without_small_regions
from sam_core.masks.thresholds import passes_thresholds
from sam_core.options import MaskOptions

# these may differ from what the masks were made with; all other options have to be equal
CHANGEABLE = {
    "points_per_batch",
    "compile_decoder",
    "pred_iou_thresh",
    "stability_score_thresh",
    "box_nms_thresh",
    "crop_nms_thresh",
    "max_mask_area",
    "min_mask_region_area",
    "nms_overlap",
    "reference",
}
# and these even where NMS has suppressed masks already
KNOWN_AFTER_NMS = {
    "points_per_batch",
    "compile_decoder",
    "pred_iou_thresh",
    "min_mask_region_area",
    "reference",
}


def refiltered_masks(masks: ImageMasks, made_with: MaskOptions, options: MaskOptions) -> ImageMasks:
    """The masks that a run with `options` gives, from those of a run with the looser `made_with`.

    Raises: ValueError where the masks cannot tell, with the option that stands in the way.
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
    """Nothing. Raises: ValueError where masks made with the one do not tell what the other gives."""
    before, after = made_with.model_dump(), options.model_dump()
    changed = {name for name in before if before[name] != after[name]}
    for name in sorted(changed - CHANGEABLE):
        raise ValueError(
            f"{name} cannot become {after[name]}, from {before[name]}, without the model: label again"
        )
    for name in ("pred_iou_thresh", "stability_score_thresh"):
        if after[name] < before[name]:
            raise ValueError(
                f"{name} was {before[name]} and can only be raised: masks below it are not there"
            )
    if options.max_mask_area > made_with.max_mask_area:
        raise ValueError(f"max_mask_area was {made_with.max_mask_area} and can only be lowered")
    if made_with.min_mask_region_area:
        raise ValueError("the masks were cleaned by min_mask_region_area: what they were before is not known")
    if made_with.box_nms_thresh == made_with.crop_nms_thresh == 1:
        return
    if changed - KNOWN_AFTER_NMS or options.crop_n_layers or options.tile_size:
        raise ValueError(
            "the masks were made with NMS, after which only pred_iou_thresh can be raised, on whole images; "
            "for other changes label with box_nms_thresh and crop_nms_thresh at 1"
        )
