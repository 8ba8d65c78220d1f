"""Which parts of an image are labelled, and the grid of points in each.

The parts are the whole image, layers of overlapping crops as SA cuts them, or tiles. Points, the prompts of
automatic mask generation, are in fractions of a crop's width and height.
"""

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from sam_core.options import MaskOptions

XYXY = tuple[int, int, int, int]
MOST_SIDE = 1 << 22  # pixels; a reduced mask needs a number in memory for each pixel of a side
MOST_PIXELS = (1 << 32) - 1  # COCO's run lengths have 32 bits


@dataclass(frozen=True)
class Crop:
    """A part of the image, in its pixels; x1 and y1 are exclusive. Layer 0 is the whole image, or a tile."""

    xyxy: XYXY
    layer: int


def is_image_size(
    height: int | npt.NDArray[np.int64], width: int | npt.NDArray[np.int64]
) -> bool | npt.NDArray[np.bool_]:
    """Whether an image of this size can have masks; of arrays, each of the sizes."""
    is_side = (height >= 1) & (height <= MOST_SIDE) & (width >= 1) & (width <= MOST_SIDE)
    return is_side & (height * width <= MOST_PIXELS)


def labelled_crops(height: int, width: int, options: MaskOptions) -> list[Crop]:
    """The parts of an image of this size to label, in order.

    Raises: ValueError for an image that is too large for masks.
    """
    if not is_image_size(height, width):
        raise ValueError(
            f"the image has {height * width} pixels ({height} x {width}), and a mask has 1 to 2^32 - 1 "
            f"pixels and no side of more than {MOST_SIDE}; cut it into smaller images"
        )
    if options.tile_size:
        return image_tiles(height, width, options.tile_size, options.crop_overlap_ratio)
    return image_crops(height, width, options.crop_n_layers, options.crop_overlap_ratio)


def image_crops(height: int, width: int, n_layers: int, overlap_ratio: float) -> list[Crop]:
    """The whole image, then 4 crops, then 16 ... ; column by column. Crops without a pixel are left out.

    Source: generate_crop_boxes of segment-anything, commit dca509f.
    """
    crops = [Crop((0, 0, width, height), 0)]
    for layer in range(1, n_layers + 1):
        a_side = 2**layer
        shared_px = int(overlap_ratio * min(height, width) * (2 / a_side))
        columns = _layer_spans(width, a_side, shared_px)
        rows = _layer_spans(height, a_side, shared_px)
        crops += [Crop((x0, y0, x1, y1), layer) for (x0, x1), (y0, y1) in product(columns, rows)]
    return crops


def image_tiles(height: int, width: int, tile_size: int, overlap_ratio: float) -> list[Crop]:
    """Tiles of at most tile_size a side that cover the image; neighbours share `overlap_ratio` or more."""
    columns = _tile_spans(width, tile_size, overlap_ratio)
    rows = _tile_spans(height, tile_size, overlap_ratio)
    return [Crop((x0, y0, x1, y1), 0) for (y0, y1), (x0, x1) in product(rows, columns)]


def _layer_spans(length: int, pieces: int, shared_px: int) -> list[tuple[int, int]]:
    span = math.ceil((shared_px * (pieces - 1) + length) / pieces)
    starts = [(span - shared_px) * piece for piece in range(pieces)]
    return [(start, min(start + span, length)) for start in starts if start < length]


def _tile_spans(length: int, tile_size: int, overlap_ratio: float) -> list[tuple[int, int]]:
    if length <= tile_size:
        return [(0, length)]
    stride = max(1, int(tile_size * (1 - overlap_ratio)))
    pieces = math.ceil((length - tile_size) / stride) + 1
    # spread evenly, so that the last tile is as large as the others
    starts = [round(piece * (length - tile_size) / (pieces - 1)) for piece in range(pieces)]
    return [(start, start + tile_size) for start in starts]


def point_grid(points_per_side: int) -> npt.NDArray[np.float64]:
    """Centres of an even grid of cells, row by row; x, y in 0..1, [points_per_side squared, 2]."""
    half_cell = 1 / (2 * points_per_side)
    centres = np.linspace(half_cell, 1 - half_cell, points_per_side)
    x, y = np.meshgrid(centres, centres)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def layer_point_grids(
    points_per_side: int, n_layers: int, downscale_factor: int
) -> list[npt.NDArray[np.float64]]:
    """The grid of the image and of each layer of crops, each thinner by the factor; at least one point."""
    return [point_grid(max(1, points_per_side // downscale_factor**layer)) for layer in range(n_layers + 1)]
