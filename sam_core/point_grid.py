"""Grids of points, the prompts of automatic mask generation, in fractions of a crop's width and height."""

import numpy as np
import numpy.typing as npt


def point_grid(points_per_side: int) -> npt.NDArray[np.float64]:
    """Centres of an even grid of cells, row by row; x, y in 0..1, [points_per_side squared, 2]."""
    half_cell = 1 / (2 * points_per_side)
    centres = np.linspace(half_cell, 1 - half_cell, points_per_side)
    x, y = np.meshgrid(centres, centres)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def layer_point_grids(
    points_per_side: int, n_layers: int, downscale_factor: int
) -> list[npt.NDArray[np.float64]]:
    """The grid of the image and of each layer of crops, thinned by the factor a layer; a point at least."""
    return [point_grid(max(1, points_per_side // downscale_factor**layer)) for layer in range(n_layers + 1)]
