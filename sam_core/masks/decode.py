"""COCO's compressed run lengths to pixels: masks, windows of them, smaller masks, one label a pixel.

Shapes: N masks, H x W the requested window or grid, by default the whole image. The C library of rle_kernel.c
does it in one call per image; without it, numpy gives the same pixels, slower.

All functions raise ValueError if counts do not describe a mask of the image's size.
"""

import functools
from collections.abc import Sequence
from ctypes import byref

import numpy as np
import numpy.typing as npt

from sam_core.arguments import whole_numbers
from sam_core.masks.rle import compressed_counts_runs, mask_of_runs
from sam_core.masks.rle_library import Cells, Window, library

Counts = Sequence[bytes]
Masks = npt.NDArray[np.bool_]
Box = tuple[int, int, int, int]
BAND = 64  # columns, of rle_kernel.c
MOST_CELLS = (1 << 31) - 1  # along a side of a grid


def decoded_masks(
    counts: Counts, height: int, width: int, window_xyxy: Box | None = None, out_NHW: Masks | None = None
) -> Masks:
    """The masks, or a window of each: from pixel x0, y0 to x1, y1, both excluded; bool [N, H, W].

    They are written into `out_NHW` if it is given: bool or uint8, with contiguous rows.
    Raises: ValueError for a window that is empty or leaves the image, or an array of another shape.
    """
    x0, y0, x1, y1 = _window(window_xyxy, height, width)
    masks_NHW = _zeros((len(counts), y1 - y0, x1 - x0), out_NHW)
    kernel = library()
    if kernel is None:
        for index, mask_HW in enumerate(masks_NHW):
            mask_HW[:] = plain_mask(index, counts, height, width)[y0:y1, x0:x1]
        return masks_NHW
    packed, offsets = packed_counts(counts)
    marks = np.zeros((y1 - y0, BAND), np.uint8)
    unsound = kernel.rle_masks(
        packed,
        offsets.ctypes.data,
        len(counts),
        byref(Window(height, width, x0, y0, x1, y1)),
        masks_NHW.ctypes.data,
        *masks_NHW.strides[:2],
        marks.ctypes.data,
    )
    refuse_unsound(unsound, counts, height, width)
    return masks_NHW


def reduced_masks(
    counts: Counts, height: int, width: int, size: tuple[int, int], out_NHW: Masks | None = None
) -> Masks:
    """The masks on a grid of `size`, rows then columns; bool [N, *size].

    A cell is inside if the mask holds at least half of its pixels. Cell i of h begins at row i * H // h. No
    mask is decoded at its full size. Along a side with more cells than pixels each cell takes the one pixel
    that its centre lies in: row (2 * i + 1) * H // (2 * h).
    Raises: ValueError for a grid without cells, or an array of another shape.
    """
    rows, columns = whole_numbers(size, 2, "the size")
    if not (1 <= rows <= MOST_CELLS and 1 <= columns <= MOST_CELLS):
        raise ValueError(f"the size is {rows} x {columns}; each side must have 1 to {MOST_CELLS:,} cells")
    if -(-height // rows) * -(-width // columns) >= 1 << 32:
        raise ValueError(f"a cell of {rows} x {columns} would have 2^32 pixels or more")
    if rows > height or columns > width:
        return _enlarged(counts, height, width, (rows, columns), out_NHW)
    masks_NHW = _zeros((len(counts), rows, columns), out_NHW)
    (cell_of_row, first_row), (cell_of_column, first_column) = _cells(height, rows), _cells(width, columns)
    kernel = library()
    if kernel is None:
        cells_HW = np.diff(first_row)[:, None] * np.diff(first_column)
        for index, mask_HW in enumerate(masks_NHW):
            plain_HW = plain_mask(index, counts, height, width)
            of_rows = np.add.reduceat(plain_HW, first_row[:-1], axis=0, dtype=np.int64)
            mask_HW[:] = 2 * np.add.reduceat(of_rows, first_column[:-1], axis=1) >= cells_HW
        return masks_NHW
    cell_arrays = (cell_of_row, first_row, cell_of_column, first_column)
    cells = Cells(height, width, rows, columns, *(array.ctypes.data for array in cell_arrays))
    packed, offsets = packed_counts(counts)
    pixels = np.zeros((columns, rows), np.uint32)
    unsound = kernel.rle_reduced(
        packed,
        offsets.ctypes.data,
        len(counts),
        byref(cells),
        masks_NHW.ctypes.data,
        *masks_NHW.strides[:2],
        pixels.ctypes.data,
    )
    refuse_unsound(unsound, counts, height, width)
    return masks_NHW


def _enlarged(counts: Counts, height: int, width: int, size: tuple[int, int], out_NHW: Masks | None) -> Masks:
    """`reduced_masks` where a side has more cells than pixels."""
    rows, columns = size
    masks_NHW = reduced_masks(counts, height, width, (min(rows, height), min(columns, width)))
    _, high, wide = masks_NHW.shape
    enlarged_NHW: Masks = masks_NHW[:, _pixels(high, rows)[:, None], _pixels(wide, columns)]
    if out_NHW is None:
        return enlarged_NHW
    _zeros(enlarged_NHW.shape, out_NHW)[:] = enlarged_NHW
    return out_NHW


def drawn_labels(
    counts: Counts, order: npt.NDArray[np.int64], height: int, width: int, window_xyxy: Box | None = None
) -> npt.NDArray[np.int32]:
    """The masks drawn on top of each other in `order`; int32 [H, W].

    Each pixel has the position in `counts`, plus 1, of the last mask that covers it, or 0.
    """
    if len(order) and (order.min() < 0 or order.max() >= len(counts)):
        raise ValueError(f"the order names a mask that does not exist; there are {len(counts)} masks")
    x0, y0, x1, y1 = _window(window_xyxy, height, width)
    labels_HW = np.zeros((y1 - y0, x1 - x0), np.int32)
    kernel = library()
    if kernel is None:
        for index in order.tolist():
            labels_HW[plain_mask(index, counts, height, width)[y0:y1, x0:x1]] = index + 1
        return labels_HW
    packed, offsets = packed_counts(counts)
    order = np.ascontiguousarray(order, np.int64)
    marks = np.zeros((y1 - y0, BAND), np.uint8)
    unsound = kernel.rle_labels(
        packed,
        offsets.ctypes.data,
        order.ctypes.data,
        len(order),
        byref(Window(height, width, x0, y0, x1, y1)),
        labels_HW.ctypes.data,
        x1 - x0,
        marks.ctypes.data,
    )
    refuse_unsound(unsound, counts, height, width)
    return labels_HW


def plain_mask(index: int, counts: Counts, height: int, width: int) -> npt.NDArray[np.bool_]:
    """The mask at `index` by numpy; bool [height, width]."""
    return mask_of_runs(_sound_runs(index, counts, height, width), height, width)


def _sound_runs(index: int, counts: Counts, height: int, width: int) -> npt.NDArray[np.uint32]:
    try:
        runs = compressed_counts_runs(counts[index])
        is_sound = int(runs.sum(dtype=np.int64)) == height * width
    except ValueError:
        is_sound = False
    refuse_unsound(-1 if is_sound else index, counts, height, width)
    return runs


def _window(window_xyxy: Box | None, height: int, width: int) -> Box:
    if window_xyxy is None:
        return 0, 0, width, height
    x0, y0, x1, y1 = whole_numbers(window_xyxy, 4, "the window")
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise ValueError(
            f"the window {x0}, {y0}, {x1}, {y1} does not lie in the image of {width} x {height} pixels"
        )
    return x0, y0, x1, y1


def _zeros(shape: tuple[int, int, int], out_NHW: Masks | None) -> Masks:
    """Zeros of the shape: new, or the array that was given."""
    if out_NHW is None:
        return np.zeros(shape, np.bool_)
    is_array = isinstance(out_NHW, np.ndarray)
    if (
        not is_array
        or out_NHW.dtype not in (np.bool_, np.uint8)
        or out_NHW.shape != shape
        or out_NHW.strides[2] != 1
        or not out_NHW.flags.writeable
    ):
        got = f"has shape {out_NHW.shape} and type {out_NHW.dtype}" if is_array else f"is {out_NHW!r:.100}"
        raise ValueError(
            f"the array for the masks {got}; it must be bool or uint8 of shape {shape}, writable and with "
            "contiguous rows"
        )
    out_NHW[:] = 0
    return out_NHW


def refuse_unsound_counts(counts: Counts, height: int, width: int) -> None:
    """Raises: ValueError if counts do not describe a mask of the image's size."""
    kernel = library()
    if kernel is None:
        for index in range(len(counts)):
            _sound_runs(index, counts, height, width)
        return
    packed, offsets = packed_counts(counts)
    unsound = kernel.rle_unsound(packed, offsets.ctypes.data, len(counts), height * width)
    refuse_unsound(unsound, counts, height, width)


def packed_counts(counts: Counts) -> tuple[bytes, npt.NDArray[np.int64]]:
    """All counts in one piece, and where each begins; the last number is where they end."""
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum([len(one) for one in counts], out=offsets[1:])
    return b"".join(counts), offsets


@functools.lru_cache(maxsize=64)  # the images of a dataset have few sizes
def _cells(pixels: int, cells: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """The cell that each pixel is in, and the first pixel of each cell; the last of these is `pixels`."""
    firsts = (np.arange(cells + 1, dtype=np.int64) * pixels // cells).astype(np.int32)
    return np.repeat(np.arange(cells, dtype=np.int32), np.diff(firsts)), firsts


def _pixels(pixels: int, cells: int) -> npt.NDArray[np.int64]:
    """The pixel that the centre of each cell lies in; for no more pixels than cells."""
    return (2 * np.arange(cells, dtype=np.int64) + 1) * pixels // (2 * cells)


def refuse_unsound(mask: int, counts: Counts, height: int, width: int) -> None:
    """Raises: ValueError, which names the counts of this mask, unless it is -1."""
    if mask >= 0:
        raise ValueError(
            f"the counts {counts[mask][:40]!r} of mask {mask} are not a mask of {height} x {width} pixels"
        )
