"""Draws the masks of an image over it: each with a colour and an outline, larger ones below smaller ones.

Shapes: N masks, H x W the image. One mask is decoded at a time, and only where it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.reading.record import Record
from pipeline.report.palette import colours
from sam_core.arguments import whole_number, whole_numbers
from sam_core.masks.decode import decoded_masks, drawn_labels
from sam_core.masks.image_masks import ImageMasks
from sam_core.masks.rle import (
    area_of_runs,
    box_of_runs,
    compressed_counts,
    compressed_counts_runs,
    runs_of_mask,
)

Masks: TypeAlias = (
    ImageMasks
    | Sequence[Mapping[str, Any]]
    | Sequence[NDArray[np.bool_] | NDArray[np.uint8]]
    | NDArray[np.bool_]
    | NDArray[np.uint8]
)
ALPHA = 0.4
_OUTLINE_SHARE = 300  # of the longer side: a line that is still seen where the picture is shown smaller


@dataclass(frozen=True)
class _Shape:
    """One mask, as it is drawn."""

    counts: bytes
    place: int  # among the image's masks, which gives its colour
    area: int
    box_xyxy: tuple[int, int, int, int]  # x1 and y1 excluded


def draw(
    image: Record | NDArray[np.uint8],
    masks: Masks | None = None,
    *,
    alpha: float = ALPHA,
    outline: int | None = None,
) -> NDArray[np.uint8]:
    """The image with its masks drawn over it; uint8 RGB [H, W, 3].

    `image` is a Record, whose photo is fetched, or an array, uint8 RGB [H, W, 3]. `masks` are SA's records in
    any output mode, the ImageMasks of `generate_masks`, or bool [N, H, W] or a list of bool [H, W], or
    the same as uint8 of 0 and 1. A Record has its own masks.

    A mask's colour depends on its position among the image's masks, so `record.select` changes no colour.
    Smaller masks lie on larger ones. `alpha` is how much of the colour covers the photo, 0 to 1. `outline` is
    the width of the line around each mask in pixels, 0 for none, by default a 300th of the longer side.
    Raises: ValueError for an image or masks of another kind or size; UsageError for a failed image,
        ImageError if its photo is gone or has changed.
    """
    _refuse_other_look(alpha, outline)
    image_HW3 = image.image if isinstance(image, Record) else _checked(image)
    height, width, _ = image_HW3.shape
    shapes = _shapes(image, masks, height, width)
    picture_HW3 = _filled(image_HW3, shapes, alpha)
    line = max(1, round(max(height, width) / _OUTLINE_SHARE)) if outline is None else outline
    colour_N3 = colours(1 + max((shape.place for shape in shapes), default=-1))
    for shape in shapes if line else ():
        x0, y0, x1, y1 = shape.box_xyxy
        (mask_HW,) = decoded_masks([shape.counts], height, width, shape.box_xyxy)
        picture_HW3[y0:y1, x0:x1][_rim(mask_HW, line)] = colour_N3[shape.place]
    return picture_HW3


def _refuse_other_look(alpha: float, outline: int | None) -> None:
    try:
        fits = 0 <= alpha <= 1 and (outline is None or whole_number(outline, "outline") >= 0)
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise ValueError(
            f"alpha is {alpha!r} and outline {outline!r}; alpha is 0 to 1, outline a whole number of pixels, "
            "0 or more"
        )


def _checked(image: object) -> NDArray[np.uint8]:
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3:
        return image
    from sam_core.model.rgb_image import checked_image  # it needs torch, to advise on tensors

    return checked_image(image)


def _shapes(image: Record | NDArray[np.uint8], masks: Masks | None, height: int, width: int) -> list[_Shape]:
    """The masks that have a pixel, the largest first."""
    chosen: Sequence[int] | None = None
    if masks is None:
        if not isinstance(image, Record):
            raise ValueError("an image without masks: pass them too, or a Record of a dataset")
        counts = image.counts
        chosen = None if image.chosen is None else image.chosen.tolist()
    else:
        counts = _counts_of(masks, height, width)
    shapes = []
    for place, one in zip(range(len(counts)) if chosen is None else chosen, counts, strict=True):
        runs = _runs(one, height, width)
        if area := area_of_runs(runs):
            x0, y0, x1, y1 = box_of_runs(runs, height)
            shapes.append(_Shape(one, place, area, (x0, y0, x1 + 1, y1 + 1)))
    return sorted(shapes, key=lambda shape: -shape.area)


def _counts_of(masks: Masks, height: int, width: int) -> list[bytes]:
    """COCO's compressed run lengths of masks of any kind."""
    if isinstance(masks, ImageMasks):
        _refuse_other_size((masks.height, masks.width), height, width)
        return masks.counts
    try:
        if isinstance(masks, Mapping | str):
            raise TypeError
        listed = list(masks)
    except TypeError:  # one record, a text, a number, a Record
        raise _other_kind(masks) from None
    return [_counts(mask, height, width) for mask in listed]


def _counts(mask: object, height: int, width: int) -> bytes:
    """The run lengths of an array, or of SA's record with its `segmentation` in one of its three forms."""
    segmentation = mask.get("segmentation") if isinstance(mask, Mapping) else mask
    if isinstance(mask, Mapping) and isinstance(segmentation, Mapping):
        return _counts_of_rle(segmentation, height, width)
    if not isinstance(segmentation, np.ndarray):
        raise _other_kind(mask)
    _refuse_other_size(segmentation.shape, height, width)
    if segmentation.dtype != np.bool_ and (segmentation.dtype != np.uint8 or segmentation.max(initial=0) > 1):
        raise ValueError(
            f"a mask is an array of {segmentation.dtype}; give bool, or uint8 of 0 and 1: pass mask > 0 "
            "or another threshold"
        )
    return compressed_counts(runs_of_mask(segmentation.astype(bool)))


def _counts_of_rle(rle: Mapping[str, Any], height: int, width: int) -> bytes:
    if not {"size", "counts"} <= rle.keys():
        raise ValueError(f"a segmentation has {list(rle)!r:.100}; give size and counts")
    _refuse_other_size(whole_numbers(rle["size"], 2, "the size of a segmentation"), height, width)
    counts = rle["counts"]
    if isinstance(counts, str | bytes):
        return counts.encode(errors="surrogatepass") if isinstance(counts, str) else counts
    runs = np.asarray(counts)
    if runs.ndim != 1 or runs.dtype.kind not in "iu" or (runs < 0).any() or runs.sum() != height * width:
        raise _no_mask(counts, height, width)
    return compressed_counts(runs.astype(np.uint32))


def _runs(counts: bytes, height: int, width: int) -> NDArray[np.uint32]:
    try:
        runs = compressed_counts_runs(counts)
    except ValueError:
        raise _no_mask(counts, height, width) from None
    if runs.sum(dtype=np.int64) != height * width:
        raise _no_mask(counts, height, width)
    return runs


def _no_mask(counts: object, height: int, width: int) -> ValueError:
    return ValueError(f"the counts {counts!r:.40} are not a mask of {height} x {width} pixels")


def _other_kind(masks: object) -> ValueError:
    return ValueError(
        f"masks of type {type(masks).__name__} cannot be drawn; draw accepts ImageMasks, bool [N, H, W], or "
        "a list of bool [H, W] or of SA's records"
    )


def _refuse_other_size(size: tuple[int, ...], height: int, width: int) -> None:
    if size != (height, width):
        raise ValueError(f"a mask of {list(size)} does not fit the image of {[height, width]} pixels")


def _filled(image_HW3: NDArray[np.uint8], shapes: Sequence[_Shape], alpha: float) -> NDArray[np.uint8]:
    """A copy of the image, each pixel tinted by the smallest mask that covers it."""
    labels_HW = drawn_labels([shape.counts for shape in shapes], np.arange(len(shapes)), *image_HW3.shape[:2])
    places = [shape.place for shape in shapes]
    colour_of_label = np.zeros((len(shapes) + 1, 3), np.uint8)
    colour_of_label[1:] = colours(1 + max(places, default=-1))[places]
    tint_HW3 = colour_of_label[labels_HW]
    np.copyto(tint_HW3, image_HW3, where=(labels_HW == 0)[:, :, None])
    blended = Image.blend(Image.fromarray(image_HW3), Image.fromarray(tint_HW3), alpha)
    return np.array(blended)


def _rim(mask_HW: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """The pixels of a mask that are at most `width` from a pixel outside; all beyond the array is outside.

    The mask is eroded by four and by eight neighbours in turn, so that the reach is an octagon, not a circle.
    """
    core = np.pad(mask_HW, 1)
    for step in range(min(width, *mask_HW.shape)):  # nothing is left to take away after that
        whole, middle = core.copy(), core[1:-1, 1:-1]
        rows = whole[:-2, 1:-1] & whole[2:, 1:-1]
        middle &= rows & whole[1:-1, :-2] & whole[1:-1, 2:]
        if step % 2:
            middle &= whole[:-2, :-2] & whole[:-2, 2:] & whole[2:, :-2] & whole[2:, 2:]
    rim_HW: NDArray[np.bool_] = mask_HW & ~core[1:-1, 1:-1]
    return rim_HW
