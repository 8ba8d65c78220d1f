"""From the logits of a crop to its ImageMasks: queued on the device without a wait, finished on the host.

Measures, selection, edges and their copies to pinned memory are queued together. The host waits once, for two
megabytes, and makes COCO's counts from them. There is room for more masks and edges than crops usually have;
if it is too small, selection and edges run again with more. Oracle: `masks_of_crop` of the torch decoder's
candidates.

Legend: N masks of L x M logits, K of them kept, E edges.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from sam_core.decoding.crop_frame import CropFrame
from sam_core.decoding.precision import refuse_not_finite
from sam_core.decoding.triton.device_taps import DeviceTaps
from sam_core.decoding.triton.edges import edges_of
from sam_core.decoding.triton.measures import is_measured, measured
from sam_core.decoding.triton.selection import MOST_MASKS, selected
from sam_core.masks.crops import XYXY
from sam_core.masks.edge_counts import counts_of_edges
from sam_core.masks.image_masks import ImageMasks
from sam_core.masks.selection import after_nms_in_crop
from sam_core.model.host_copies import event_after
from sam_core.options import MaskOptions

# Room for masks and edges: photos of 3 megapixels have up to 100 masks, with up to 1,300 edges each. Copying
# all of it should take about 40 microseconds (calculated).
MASKS = 512
EDGES = 1 << 19


@dataclass(frozen=True)
class DrawnMasks:
    """All masks of a crop on the device, N of them, before any is dropped."""

    logits_NLM: torch.Tensor  # float32 or float16, of at least the rows and columns that show the crop
    predicted_iou_N: torch.Tensor  # float32
    point_index_N: torch.Tensor
    threshold: float  # a mask is where its logits are above it


@dataclass(frozen=True)
class CropPlace:
    """A crop, its taps and where it lies in the image."""

    taps: DeviceTaps
    crop_xyxy: XYXY
    image_size: tuple[int, int]


@dataclass(frozen=True)
class QueuedMasks:
    """Work queued on the device. The five results are on the host once `ready` has happened."""

    drawn: DrawnMasks
    place: CropPlace
    options: MaskOptions
    measures_N8: torch.Tensor
    is_finite: torch.Tensor  # whether all predicted IoUs are finite
    count: torch.Tensor  # number of kept masks
    kept_K8: torch.Tensor  # their measures, best first
    ends_K: torch.Tensor  # where the edges of each of them end
    edges_E: torch.Tensor
    ready: torch.cuda.Event | None


def is_served(frame: CropFrame, image_size: tuple[int, int], masks: int) -> bool:
    """Whether this many masks of the crop can be measured, selected and encoded on the device."""
    height, width = image_size
    return masks <= MOST_MASKS and height * width < 2**31 and is_measured(frame)


def queued_masks(
    drawn: DrawnMasks, place: CropPlace, options: MaskOptions, capacity: int = MASKS, room: int = EDGES
) -> QueuedMasks:
    """Queues all work on a decoded crop, without a wait; `is_served` must hold for the crop."""
    least_iou = options.pred_iou_thresh if options.pred_iou_thresh > 0 else None
    measures_N8 = measured(
        drawn.logits_NLM,
        drawn.predicted_iou_N,
        drawn.point_index_N,
        place.taps,
        options.stability_score_offset,
        drawn.threshold,
        least_iou,
    )
    return _queued(drawn, place, options, measures_N8, capacity, room)


def finished(queued: QueuedMasks, points_N2: npt.NDArray[np.float64]) -> ImageMasks:
    """Waits for the results and makes the same masks as `masks_of_crop`.

    points_N2: the points behind the masks' point_index, in the frame of the crop.
    Raises: NotFinite if a predicted IoU is not finite.
    """
    if queued.ready is not None:
        queued.ready.synchronize()
    refuse_not_finite(queued.is_finite, queued.options)
    capacity, room = len(queued.ends_K), len(queued.edges_E)
    count = int(queued.count)
    edges = int(queued.ends_K[count - 1]) if 0 < count <= capacity else 0
    if count > capacity or edges > room:
        # powers of two, so that the memory can be reused
        capacity, room = max(capacity, _power_of_two(count)), max(room, _power_of_two(edges))
        more = _queued(queued.drawn, queued.place, queued.options, queued.measures_N8, capacity, room)
        return finished(more, points_N2)
    masks = _image_masks(
        queued.place,
        queued.kept_K8[:count].numpy(),
        queued.ends_K[:count].numpy(),
        queued.edges_E[:edges].numpy(),
        points_N2,
    )
    return masks if queued.options.nms_overlap == "box" else after_nms_in_crop(masks, queued.options)


def _queued(
    drawn: DrawnMasks,
    place: CropPlace,
    options: MaskOptions,
    measures_N8: torch.Tensor,
    capacity: int,
    room: int,
) -> QueuedMasks:
    kept, count = selected(measures_N8, options, place.crop_xyxy, place.image_size, capacity)
    edges_E, ends_K = edges_of(
        drawn.logits_NLM,
        kept,
        count,
        place.taps,
        capacity,
        drawn.threshold,
        room,
        place.crop_xyxy,
        place.image_size,
    )
    kept_K8 = measures_N8[kept] if len(measures_N8) else measures_N8.new_empty((capacity, 8))
    # the event is recorded last, after the copies
    return QueuedMasks(
        drawn,
        place,
        options,
        measures_N8,
        is_finite=_on_host(torch.isfinite(drawn.predicted_iou_N).all()),
        count=_on_host(count),
        kept_K8=_on_host(kept_K8),
        ends_K=_on_host(ends_K),
        edges_E=_on_host(edges_E),
        ready=event_after(measures_N8.device),
    )


def _on_host(tensor: torch.Tensor) -> torch.Tensor:
    """A copy of the tensor in pinned memory, filled when the device reaches it in its queue."""
    if tensor.device.type != "cuda":
        return tensor
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return host.copy_(tensor, non_blocking=True)


def _power_of_two(least: int) -> int:
    return 1 << max(0, least - 1).bit_length()


def _image_masks(
    place: CropPlace,
    kept_K8: npt.NDArray[np.float64],
    ends_K: npt.NDArray[np.int64],
    edges_E: npt.NDArray[np.int32],
    points_N2: npt.NDArray[np.float64],
) -> ImageMasks:
    """The masks from measures and edges of the same pixels, so that area and box match what is encoded."""
    height, width = place.image_size
    x0, y0, x1, y1 = place.crop_xyxy
    area_K = kept_K8[:, 2].astype(np.int64)
    box_xyxy_K4 = kept_K8[:, 3:7] + np.array([x0, y0, x0, y0]) * (area_K > 0)[:, None]
    counts = counts_of_edges(edges_E, ends_K, height, width)
    points_K2 = points_N2[kept_K8[:, 7].astype(np.int64)] + np.array([x0, y0])
    return ImageMasks(
        height=height,
        width=width,
        counts=counts,
        area=area_K,
        bbox_xywh=np.concatenate(
            [box_xyxy_K4[:, :2], box_xyxy_K4[:, 2:] - box_xyxy_K4[:, :2]], axis=1
        ).astype(np.float32),
        predicted_iou=kept_K8[:, 0].astype(np.float32),
        stability_score=kept_K8[:, 1].astype(np.float32),
        point_coords=points_K2.astype(np.float32),
        crop_box_xywh=np.tile(np.array([x0, y0, x1 - x0, y1 - y0], dtype=np.float32), (len(counts), 1)),
    )
