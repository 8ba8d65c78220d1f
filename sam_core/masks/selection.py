"""Which candidates become the masks of an image: crop edge, area, NMS in a crop and across crops.

All of it is arithmetic on plain columns, without a model: the same functions filter a dataset that was
labelled with loose thresholds (refilter.py).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sam_core.masks.candidates import Candidates
from sam_core.masks.crops import XYXY, Crop
from sam_core.masks.image_masks import ImageMasks, joined_masks
from sam_core.masks.nms import Indices, IouWithOthers, box_iou, kept_by_nms, mask_iou
from sam_core.masks.rle import area_of_runs, box_of_runs, compressed_counts, placed_runs
from sam_core.options import MaskOptions

EDGE_PX = 20  # a box within this distance of its crop's edge counts as cut off. Source: SAM, App. B


def masks_of_crop(
    candidates: Candidates,
    points_N2: npt.NDArray[np.float64],
    crop_xyxy: XYXY,
    image_size: tuple[int, int],
    options: MaskOptions,
) -> ImageMasks:
    """The masks of a crop, best predicted IoU first, in the frame of the image (height, width).

    points_N2: the points behind the candidates' point_index, in the frame of the crop.
    """
    height, width = image_size
    x0, y0, _, _ = crop_xyxy
    box_xyxy_N4 = candidates.box_xyxy_N4 + np.array([x0, y0, x0, y0])
    stays_N = ~is_cut_off(box_xyxy_N4, crop_xyxy, image_size)
    stays_N &= candidates.area_N <= options.max_mask_area * height * width
    order_N = best_first(candidates.predicted_iou_N)
    order_N = order_N[stays_N[order_N]]
    if options.nms_overlap == "box":
        order_N = kept_by_nms(order_N, box_iou(box_xyxy_N4), options.box_nms_thresh)
    masks = encoded_masks(candidates, order_N, points_N2, crop_xyxy, image_size)
    return masks if options.nms_overlap == "box" else after_nms_in_crop(masks, options)


def masks_across_crops(
    crops: Sequence[Crop], parts: Sequence[ImageMasks], options: MaskOptions
) -> ImageMasks:
    """The masks of all crops (one of `parts` each), without those that repeat a mask of another crop.

    The deeper layer wins, because its crops show the object larger; within a layer, and among tiles, the
    predicted IoU decides. SA (`reference`) uses only the crop's area: a fragment may win over the whole.
    """
    masks = joined_masks(parts)
    if len(parts) < 2:
        return masks
    if options.reference:
        order_N = best_first(-masks.crop_box_xywh[:, 2:].prod(axis=1))
    else:
        layer_N = np.repeat([crop.layer for crop in crops], [len(part) for part in parts])
        order_N = np.lexsort((-masks.predicted_iou, -layer_N))
    return _after_nms(masks.select(order_N), options, options.crop_nms_thresh)


def after_nms_in_crop(masks: ImageMasks, options: MaskOptions) -> ImageMasks:
    """The masks of one crop that NMS keeps, best predicted IoU first."""
    return _after_nms(masks.select(best_first(masks.predicted_iou)), options, options.box_nms_thresh)


def best_first(score_N: npt.NDArray[np.float32]) -> Indices:
    """Positions by decreasing score; equal scores keep their order."""
    return np.argsort(-score_N, kind="stable")


def is_cut_off(
    box_xyxy_N4: npt.NDArray[np.int64], crop_xyxy: XYXY, image_size: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    """Whether each box, in the image's frame, touches an edge of its crop that is no edge of the image."""
    height, width = image_size
    is_at_crop_edge_N4 = np.abs(box_xyxy_N4 - np.array(crop_xyxy)) <= EDGE_PX
    is_at_image_edge_N4 = np.abs(box_xyxy_N4 - np.array([0, 0, width, height])) <= EDGE_PX
    is_cut: npt.NDArray[np.bool_] = (is_at_crop_edge_N4 & ~is_at_image_edge_N4).any(axis=1)
    return is_cut


def iou_of(masks: ImageMasks, options: MaskOptions) -> IouWithOthers:
    """IoU of the masks or of their boxes, by the option nms_overlap."""
    if options.nms_overlap == "mask":
        return mask_iou(masks.counts, masks.height, masks.width)
    return box_iou(masks.box_xyxy())


def _after_nms(masks: ImageMasks, options: MaskOptions, thresh: float) -> ImageMasks:
    return masks.select(kept_by_nms(np.arange(len(masks)), iou_of(masks, options), thresh))


def encoded_masks(
    candidates: Candidates,
    order_N: Indices,
    points_N2: npt.NDArray[np.float64],
    crop_xyxy: XYXY,
    image_size: tuple[int, int],
) -> ImageMasks:
    """The chosen candidates in the frame of the image; area and box describe the encoded pixels."""
    height, width = image_size
    x0, y0, x1, y1 = crop_xyxy
    counts, area, bbox_xywh = [], [], []
    for crop_runs in candidates.runs(order_N):
        runs = placed_runs(crop_runs, crop_xyxy, height, width)
        left, top, right, bottom = box_of_runs(runs, height)
        counts.append(compressed_counts(runs))
        area.append(area_of_runs(runs))
        bbox_xywh.append((left, top, right - left, bottom - top))
    points_N2 = points_N2[candidates.point_index_N[order_N]] + np.array([x0, y0])
    return ImageMasks(
        height=height,
        width=width,
        counts=counts,
        area=np.array(area, dtype=np.int64),
        bbox_xywh=np.array(bbox_xywh, dtype=np.float32).reshape(-1, 4),
        predicted_iou=candidates.predicted_iou_N[order_N],
        stability_score=candidates.stability_score_N[order_N],
        point_coords=points_N2.astype(np.float32),
        crop_box_xywh=np.tile(np.array([x0, y0, x1 - x0, y1 - y0], dtype=np.float32), (len(counts), 1)),
    )
