"""Masks without small holes and islands.

Source: remove_small_regions and postprocess_small_regions of segment-anything, commit dca509f.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from sam_core.masks.crops import XYXY
from sam_core.masks.decode import decoded_masks
from sam_core.masks.image_masks import ImageMasks
from sam_core.masks.nms import kept_by_nms
from sam_core.masks.rle import area_of_runs, box_of_runs, compressed_counts, placed_runs, runs_of_mask
from sam_core.masks.selection import best_first, iou_of
from sam_core.options import MaskOptions

Mask = npt.NDArray[np.bool_]
EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


def masks_without_small_regions(masks: ImageMasks, options: MaskOptions) -> ImageMasks:
    """The cleaned masks, without those that now repeat another; scores and vectors do not change.

    NMS prefers masks that needed no cleaning, then higher predicted IoU. A cleaned mask under the minimal
    area is dropped. SA (`reference`) keeps it, and its NMS only prefers masks that needed no cleaning.
    """
    min_area = options.min_mask_region_area
    counts, area, bbox_xywh = list(masks.counts), masks.area.copy(), masks.bbox_xywh.copy()
    boxes_xyxy = masks.box_xyxy().astype(int)
    is_changed_N = np.zeros(len(masks), dtype=bool)
    for index in range(len(masks)):
        window = _window_around(boxes_xyxy[index], masks, min_area)
        mask_HW = decoded_masks([counts[index]], masks.height, masks.width, window)[0]
        cleaned, is_changed_N[index] = without_small_regions(mask_HW, min_area)
        if is_changed_N[index]:
            runs = placed_runs(runs_of_mask(cleaned), window, masks.height, masks.width)
            left, top, right, bottom = box_of_runs(runs, masks.height)
            counts[index] = compressed_counts(runs)
            area[index] = area_of_runs(runs)
            bbox_xywh[index] = (left, top, right - left, bottom - top)
    masks = replace(masks, counts=counts, area=area, bbox_xywh=bbox_xywh)
    order_N = np.arange(len(masks))
    if not options.reference:
        order_N = best_first(masks.predicted_iou)
        order_N = order_N[area[order_N] >= min_area]
    order_N = order_N[np.argsort(is_changed_N[order_N], kind="stable")]
    thresh = max(options.box_nms_thresh, options.crop_nms_thresh)
    return masks.select(kept_by_nms(order_N, iou_of(masks, options), thresh))


def _window_around(box_xyxy: npt.NDArray[np.int_], masks: ImageMasks, margin: int) -> XYXY:
    """The mask's box and `margin` pixels around it, within the image, so that no array is image-sized."""
    x0, y0, x1, y1 = box_xyxy.tolist()
    return (
        _even(x0 - margin),
        _even(y0 - margin),
        min(masks.width, x1 + 1 + margin),
        min(masks.height, y1 + 1 + margin),
    )


def without_small_regions(mask_HW: Mask, min_area: int) -> tuple[Mask, bool]:
    """The mask with holes under `min_area` pixels filled, then islands removed; and whether it changed.

    Pixels that touch at a corner belong to one region. A mask of only small islands keeps the largest.
    """
    if not mask_HW.any():
        return mask_HW, False
    window = _window(mask_HW, margin=min_area)
    mask = mask_HW[window]
    is_small_hole = _is_in_small_region(~mask, min_area)
    filled = mask | is_small_hole
    is_small_island = _is_in_small_region(filled, min_area)
    if is_small_island.any() and (is_small_island == filled).all():
        is_small_island = filled & ~_largest_region(filled)
        is_changed = True
    else:
        is_changed = bool(is_small_hole.any() or is_small_island.any())
    cleaned = np.zeros_like(mask_HW)
    cleaned[window] = filled & ~is_small_island
    return cleaned, is_changed


def _window(mask_HW: Mask, margin: int) -> tuple[slice, slice]:
    """The part to search: a region that extends more than `margin` pixels from the mask is not small."""
    rows, columns = np.flatnonzero(mask_HW.any(axis=1)), np.flatnonzero(mask_HW.any(axis=0))
    return (
        slice(_even(rows[0] - margin), int(rows[-1]) + 1 + margin),
        slice(_even(columns[0] - margin), int(columns[-1]) + 1 + margin),
    )


def _even(first: int) -> int:
    """The even row or column at or before `first`: blocks of 2 x 2 pixels of a window are the image's."""
    return max(0, int(first) // 2 * 2)


def _is_in_small_region(mask_HW: Mask, min_area: int) -> Mask:
    regions_HW, _ = ndimage.label(mask_HW, structure=EIGHT_NEIGHBOURS)
    is_small = np.bincount(regions_HW.ravel()) < min_area
    is_small[0] = False  # pixels outside all regions
    return np.asarray(is_small[regions_HW])


def _largest_region(mask_HW: Mask) -> Mask:
    """Of regions of equal size the first one, by rows of blocks of 2 x 2 pixels, as OpenCV counts them."""
    regions_HW, _ = ndimage.label(mask_HW, structure=EIGHT_NEIGHBOURS)
    sizes = np.bincount(regions_HW.ravel())
    sizes[0] = 0
    if np.count_nonzero(sizes == sizes.max()) == 1:
        return np.asarray(regions_HW == sizes.argmax())
    rows, columns = np.nonzero((sizes == sizes.max())[regions_HW])
    first = np.lexsort((columns // 2, rows // 2))[0]
    return np.asarray(regions_HW == regions_HW[rows[first], columns[first]])
