"""A vector for each mask and one for the image: averages of the image encoder's features.

The encoder returns a grid of cells with C features each: 64 x 64 cells with 256 features, where a cell covers
16 x 16 pixels of the model's square input. The image fills the square's upper left, and the rest is padding.

The vector of a mask is the mean of the cells' features, weighted by the area of each cell that the mask
covers. In other words, every pixel of the mask counts equally, with the features of its cell; a pixel across
an edge counts in both cells, by area. So padding has no weight, and a mask smaller than a cell has a vector
too. A mask without a pixel has zeros. The image's vector is the vector of a mask of all its pixels.

The grid is the whole image's, also for masks found in crops, so that all vectors of an image come from one
view. Tiles are labelled without a view of the whole image: there a mask uses its tile's grid, and the image's
vector is the mean over its tiles, weighted by their pixels. Vectors, like the scores, describe a mask before
small regions are cleaned. Reasons: infra/adr/0017.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from sam_core.masks.cells import CellGrid, Cells, covered_cells
from sam_core.masks.crops import XYXY, Crop
from sam_core.masks.image_masks import ImageMasks
from sam_core.model.host_copies import on_device
from sam_core.model.sam import ImageEmbedding

Vectors = npt.NDArray[np.float16]


@dataclass(frozen=True)
class View:
    """A part of an image as the encoder saw it."""

    xyxy: XYXY
    embedding: ImageEmbedding
    square: int  # pixels, side of the encoder's input

    def grid(self) -> CellGrid:
        """The cells over the part of the image."""
        _, _, rows, columns = self.embedding.features_1Chw.shape
        height, width = self.embedding.input_size
        return CellGrid(self.xyxy, rows, columns, height * rows / self.square, width * columns / self.square)


def with_embeddings(masks: ImageMasks, view: View) -> ImageMasks:
    """The same masks with their vectors, and with the vector of the whole view.

    Raises: ValueError if a mean is not finite in float16.
    """
    grid = view.grid()
    covered_Nhw = covered_cells(masks.counts, masks.height, masks.width, grid)
    weights_Mhw = np.concatenate([covered_Nhw, grid.shown()[None]])
    vectors = mean_features(view.embedding.features_1Chw, weights_Mhw)
    return replace(masks, embedding=vectors[:-1], image_embedding=vectors[-1])


@torch.inference_mode()
def mean_features(features_1Chw: torch.Tensor, weights_Nhw: Cells) -> Vectors:
    """The means of the features by each set of weights; float16 [N, C], zeros where all weights are zero.

    The features stay on their device; only the means are copied to the host.
    Raises: ValueError as `with_embeddings`.
    """
    sums_N = weights_Nhw.sum((1, 2), dtype=np.float64)
    shares_Nhw = weights_Nhw / np.where(sums_N > 0, sums_N, 1).astype(np.float32)[:, None, None]
    shares_NP = on_device(shares_Nhw.reshape(len(shares_Nhw), -1), features_1Chw.device)
    means_NC: Vectors = (shares_NP @ features_1Chw[0].flatten(1).T).half().cpu().numpy()
    if not np.isfinite(means_NC).all():
        raise ValueError(
            "the encoder's features are not finite in float16, so masks cannot have vectors; check the "
            "checkpoint, or label without mask_embeddings"
        )
    return means_NC


def image_embedding_of(crops: Sequence[Crop], parts: Sequence[ImageMasks]) -> Vectors:
    """The vector of an image from its crops of layer 0: the whole image's, or the mean over its tiles."""
    vectors, pixels = [], []
    for crop, part in zip(crops, parts, strict=True):
        if crop.layer == 0 and part.image_embedding is not None:
            x0, y0, x1, y1 = crop.xyxy
            vectors.append(part.image_embedding)
            pixels.append((x1 - x0) * (y1 - y0))
    return np.average(np.array(vectors, np.float64), axis=0, weights=pixels).astype(np.float16)
