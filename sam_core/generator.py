"""Every mask of an image: SAM prompted with a grid of points, in the whole image and in crops of it.

The class bears SA's name, arguments and records. The work is four steps a crop, each its own file: encode
(sam.py), decode (crop_decoder.py), select (selection.py), and across crops select again. On a GPU the steps
of several crops overlap (overlap.py).

Memory beyond the model and an image of H x W pixels: 3 H W bytes for Pillow's copy of the largest crop, some
blocks of 16 MB, at most 0.26 MB of logits a candidate, and the runs of the masks that stay. Never a number a
pixel and mask.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sam_core.crop_streams import mapped
from sam_core.decoding.crop_decoder import CropDecoder, crop_decoder
from sam_core.decoding.crop_frame import CropFrame
from sam_core.decoding.precision import product_dtype
from sam_core.masks.crops import Crop, labelled_crops, layer_point_grids
from sam_core.masks.image_masks import OUTPUT_MODES, ImageMasks, OutputMode
from sam_core.masks.selection import masks_across_crops, masks_of_crop
from sam_core.masks.small_regions import masks_without_small_regions
from sam_core.model.sam import ImageEmbedding, Sam, checked_image
from sam_core.options import MaskOptions

Image = npt.NDArray[np.uint8]  # RGB [H, W, 3]
MakeDecoder = Callable[[Sam, torch.Tensor, CropFrame, MaskOptions], CropDecoder]

# Crops that go through the encoder together: half of the images that a labeler gives at a time, so that the
# next ones are encoded while these are decoded. A CPU gains nothing from two.
GPU_ENCODER_BATCH = 2


# SA's parameters after points_per_side; scripts give them by position too.
# Source: automatic_mask_generator.py of segment-anything 1.0
SA_ORDER = (
    "points_per_batch",
    "pred_iou_thresh",
    "stability_score_thresh",
    "stability_score_offset",
    "box_nms_thresh",
    "crop_n_layers",
    "crop_nms_thresh",
    "crop_overlap_ratio",
    "crop_n_points_downscale_factor",
    "point_grids",
    "min_mask_region_area",
    "output_mode",
)


@dataclass(frozen=True)
class _EncodedCrop:
    """A crop on its way from the encoder to its masks."""

    image_index: int
    image_size: tuple[int, int]
    crop: Crop
    embedding: ImageEmbedding


class SamAutomaticMaskGenerator:
    """Masks of images. Keeps nothing between images, so that one generator serves any number of them."""

    def __init__(
        self,
        model: Sam,
        points_per_side: int | None = 32,
        *in_order: Any,
        decoder: MakeDecoder = crop_decoder,
        **named: Any,
    ) -> None:
        """A generator with SA's arguments, by name or in SA's order: the fields of MaskOptions, and two more.

        point_grids: points of the image and of each layer of crops, x, y in 0..1; then points_per_side is
        None. output_mode: one of OUTPUT_MODES, what `generate` gives a mask as. decoder: makes the decoder of
        a crop, where another than the fastest is wanted.

        Raises: ValueError for an unknown option, a value out of range, or both or neither kind of grid;
        TypeError for more arguments than there are, or one given twice.
        """
        options = _by_name(in_order, named)
        point_grids: Sequence[npt.NDArray[np.float64]] | None = options.pop("point_grids", None)
        output_mode: OutputMode = options.pop("output_mode", "binary_mask")
        if (points_per_side is None) == (point_grids is None):
            raise ValueError("give either points_per_side or point_grids (with points_per_side=None)")
        if output_mode not in OUTPUT_MODES:
            raise ValueError(f"output_mode is one of {', '.join(OUTPUT_MODES)}, not {output_mode!r}")
        if points_per_side is not None:
            options["points_per_side"] = points_per_side
        self.model = model
        self._decoder = decoder
        self.options = MaskOptions(**options)
        self.output_mode = output_mode
        layers = self.options.crop_n_layers
        if point_grids is None:
            self.point_grids = layer_point_grids(
                self.options.points_per_side, layers, self.options.crop_n_points_downscale_factor
            )
        else:
            self.point_grids = [np.asarray(grid, dtype=np.float64).reshape(-1, 2) for grid in point_grids]
        if len(self.point_grids) < layers + 1:
            raise ValueError(
                f"crop_n_layers={layers} needs {layers + 1} point_grids, the first for the whole image, "
                f"got {len(self.point_grids)}"
            )

    @classmethod
    def from_options(cls, model: Sam, options: MaskOptions) -> "SamAutomaticMaskGenerator":
        """A generator of what the options say."""
        return cls(model, **options.model_dump())

    def generate(self, image: Image) -> list[dict[str, Any]]:
        """SA's records of all masks, in the form of output_mode; an image without a mask gives none."""
        return self.generate_masks(image).records(self.output_mode)

    def generate_masks(self, image: Image) -> ImageMasks:
        """All masks of an RGB uint8 image [H, W, 3].

        Raises: ValueError for an array of another kind.
        """
        return self.generate_batch([image])[0]

    def generate_batch(self, images: Sequence[Image]) -> list[ImageMasks]:
        """All masks of each image, whose sizes may differ; crops of several share the encoder's batches.

        Raises: ValueError for an array of another kind than uint8 [H, W, 3].
        """
        sizes = [checked_image(image).shape for image in images]
        crops = [labelled_crops(height, width, self.options) for height, width, _ in sizes]
        parts: list[list[ImageMasks]] = [[] for _ in images]
        encoded_crops = self._encoded_crops(images, crops)
        for index, masks in mapped(self._masks_of_crop, encoded_crops, self.model.device):
            parts[index].append(masks)
        return [self._masks_of_image(*whole) for whole in zip(crops, parts, strict=True)]

    def _encoded_crops(
        self, images: Sequence[Image], crops: Sequence[Sequence[Crop]]
    ) -> Iterator[_EncodedCrop]:
        work = [(index, crop) for index, image_crops in enumerate(crops) for crop in image_crops]
        size = 1 if self.model.device.type == "cpu" else GPU_ENCODER_BATCH
        for start in range(0, len(work), size):
            batch = work[start : start + size]
            pixels = []
            for index, crop in batch:
                x0, y0, x1, y1 = crop.xyxy
                pixels.append(images[index][y0:y1, x0:x1])
            embeddings = self._embeddings(pixels)
            for (index, crop), embedding in zip(batch, embeddings, strict=True):
                height, width, _ = images[index].shape
                yield _EncodedCrop(index, (height, width), crop, embedding)

    def _embeddings(self, crops: list[Image]) -> list[ImageEmbedding]:
        """The crops' embeddings from one batch, or from two halves where the device has no room for it."""
        try:
            return self.model.encode_batch(crops, product_dtype(self.options))
        except torch.OutOfMemoryError:
            if len(crops) == 1:
                raise
        torch.cuda.empty_cache()  # not in the except: its traceback holds what the encoder had made
        middle = len(crops) // 2
        return self._embeddings(crops[:middle]) + self._embeddings(crops[middle:])

    def _masks_of_crop(self, encoded: _EncodedCrop) -> tuple[int, ImageMasks]:
        """The index of the image and the masks that its crop gives."""
        crop, features = encoded.crop, encoded.embedding.features_1Chw
        height, width = encoded.embedding.original_size
        frame = CropFrame(height, width, self.model.image_encoder.img_size, 4 * features.shape[2])
        points_N2 = self.point_grids[crop.layer] * np.array([width, height])
        candidates = self._decoder(self.model, features, frame, self.options).candidates(points_N2)
        masks = masks_of_crop(candidates, points_N2, crop.xyxy, encoded.image_size, self.options)
        return encoded.image_index, masks

    def _masks_of_image(self, crops: Sequence[Crop], parts: Sequence[ImageMasks]) -> ImageMasks:
        masks = masks_across_crops(crops, parts, self.options)
        return (
            masks_without_small_regions(masks, self.options) if self.options.min_mask_region_area else masks
        )


def _by_name(in_order: Sequence[Any], named: dict[str, Any]) -> dict[str, Any]:
    if len(in_order) > len(SA_ORDER):
        raise TypeError(f"at most {len(SA_ORDER)} arguments follow points_per_side, got {len(in_order)}")
    options = dict(zip(SA_ORDER, in_order, strict=False))
    if twice := options.keys() & named.keys():
        raise TypeError(f"given by position and by name: {', '.join(sorted(twice))}")
    return options | named
