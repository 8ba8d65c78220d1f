"""Every mask of an image: SAM prompted with a grid of points, in the whole image and in crops of it.

The class has the name, arguments and records of segment-anything (SA). The steps are: encode a crop
(model/sam.py), decode it (decoding/), select masks (masks/selection.py), and select again across crops. On a
GPU several crops are in progress at once (crop_streams.py). The options are in option_attributes.py.

Memory beyond the model and an image of H x W pixels: 3 H W bytes for Pillow's copy of the largest crop, some
blocks of 16 MB, at most 0.26 MB of logits per candidate, and the runs of the selected masks. No array has a
number for each pixel of each mask.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sam_core.arguments import in_words
from sam_core.crop_streams import mapped
from sam_core.decoding.crop_decoder import CropDecoder, crop_decoder, crop_masks
from sam_core.decoding.crop_frame import CropFrame
from sam_core.decoding.mask_embedding import View, image_embedding_of, with_embeddings
from sam_core.decoding.precision import product_dtype, refuse_not_finite
from sam_core.mask_data import MaskData, without_small_regions_of_data
from sam_core.masks.crops import Crop, labelled_crops
from sam_core.masks.image_masks import ImageMasks
from sam_core.masks.selection import masks_across_crops
from sam_core.masks.small_regions import masks_without_small_regions
from sam_core.model.ambient import ambient_state_aside
from sam_core.model.sam import ImageEmbedding, Sam
from sam_core.option_attributes import OptionAttributes, checked_options
from sam_core.options import MaskOptions
from sam_core.under_way import UnderWay
from sam_core.windows import Windows, checked_pixels, window_of

Image = npt.NDArray[np.uint8]  # RGB [H, W, 3]
MakeDecoder = Callable[[Sam, torch.Tensor, CropFrame, MaskOptions], CropDecoder]

# Crops that the encoder processes together. A CPU gains nothing from two.
GPU_ENCODER_BATCH = 2

# Methods that SA's generator calls and that subclasses override; here mask generation does not call them.
NOT_CALLED = ("_generate_masks", "_process_crop", "_process_batch")


@dataclass(frozen=True)
class _CropOfImage:
    """A crop to be encoded, and its image."""

    image: Image | Windows
    crop: Crop


@dataclass(frozen=True)
class _EncodedCrop:
    """A crop on its way from the encoder to its masks."""

    image_size: tuple[int, int]
    crop: Crop
    embedding: ImageEmbedding
    described_by: View  # the view whose features describe the masks: the whole image or the tile


class SamAutomaticMaskGenerator(OptionAttributes):
    """Generates the masks of images. Stores nothing between images: use one generator for any number."""

    __slots__ = ("_decoder", "_under_way")

    def __init__(
        self,
        model: Sam,
        points_per_side: int | None = 32,
        *in_order: Any,
        decoder: MakeDecoder | None = None,
        **named: Any,
    ) -> None:
        """A generator with SA's arguments, by name or in SA's order: the fields of MaskOptions, and two more.

        point_grids: points of the image and of each layer of crops, x, y in 0..1; points_per_side must then
        be None. output_mode: one of OUTPUT_MODES, the form of the masks that `generate` returns. decoder: a
        function that makes the decoder of a crop; None means the fastest one.

        Raises: ValueError for an unknown option, a value out of range, both or neither kind of grid, no
        model, or no decoder; TypeError for more arguments than there are, one given twice, or a class that
        overrides NOT_CALLED.
        """
        _refuse_overrides(type(self))
        if decoder is not None and not callable(decoder):
            raise ValueError(
                "decoder must be a function that makes the decoder of a crop, got "
                f"{in_words(decoder)}; leave it out"
            )
        super().__init__(model, points_per_side, in_order, named)
        self._decoder: MakeDecoder = decoder or crop_decoder
        self._under_way = UnderWay()

    @classmethod
    def from_options(cls, model: Sam, options: MaskOptions) -> "SamAutomaticMaskGenerator":
        """A generator with these options. Raises: ValueError if they are not MaskOptions."""
        return cls(model, **checked_options(options).model_dump())

    def generate(self, image: Image) -> list[dict[str, Any]]:
        """SA's records of all masks, in the form of output_mode; an empty list for an image without masks."""
        return self.generate_masks(image).records(self.output_mode)

    def generate_masks(self, image: Image) -> ImageMasks:
        """All masks of an RGB uint8 image [H, W, 3]. Raises: ValueError for anything else."""
        return self.generate_batch([image])[0]

    def generate_batch(self, images: Sequence[Image | Windows]) -> list[ImageMasks]:
        """All masks of each image. Sizes may differ; crops of several images share the encoder's batches.

        An image may be a sam_core.windows.Windows: then only the crops in progress are in memory.

        Raises: ValueError if an image is anything but a uint8 array [H, W, 3] or Windows.
        """
        _refuse_no_images(images, "generate_batch needs a list of images")
        return list(self.generate_many([checked_pixels(image) for image in images]))

    def generate_many(self, images: Iterable[Image | Windows]) -> Iterator[ImageMasks]:
        """Yields all masks of each image of a stream, in order.

        On a GPU the generator reads and encodes the next images before it yields an image's masks; on a CPU
        it does not read ahead. An error in any image that was read ends the stream.

        Raises: ValueError if `images` is not a stream, or at an image that is anything but a uint8 array
        [H, W, 3] or Windows.
        """
        _refuse_no_images(images, "generate_many needs a stream of images")
        return self._stream_of_masks(images)

    def _stream_of_masks(self, images: Iterable[Image | Windows]) -> Iterator[ImageMasks]:
        under_way: deque[Sequence[Crop]] = deque()
        parts: list[ImageMasks] = []
        encoded_crops = self._encoded_crops(self._crops(images, under_way))
        try:
            for masks in mapped(self._masks_of_crop, encoded_crops, self.model.device):
                parts.append(masks)
                if len(parts) == len(under_way[0]):
                    yield self._masks_of_image(under_way.popleft(), parts)
                    parts = []
        finally:
            self._under_way.stop()

    @property
    def idle_since(self) -> float:
        """The time.perf_counter() since which no image is in progress; inf while one is.

        For the code that gives images to `generate_many`: until this moment, waiting for the next image costs
        no GPU time.
        """
        return self._under_way.idle_since

    def _crops(
        self, images: Iterable[Image | Windows], under_way: deque[Sequence[Crop]]
    ) -> Iterator[_CropOfImage]:
        """All crops of all images; adds the crops of an image to `under_way` when it reads the image."""
        for image in map(checked_pixels, images):
            height, width, _ = image.shape
            crops = labelled_crops(height, width, self.options)
            under_way.append(crops)
            for crop in crops:
                yield _CropOfImage(image, crop)

    def _encoded_crops(self, crops: Iterator[_CropOfImage]) -> Iterator[_EncodedCrop]:
        size = 1 if self.model.device.type == "cpu" else GPU_ENCODER_BATCH
        while batch := list(islice(crops, size)):
            self._under_way.begin(len(batch))
            embeddings = self._embeddings([window_of(each.image, each.crop.xyxy) for each in batch])
            for each, embedding in zip(batch, embeddings, strict=True):
                crop, (height, width, _) = each.crop, each.image.shape
                if crop.layer == 0:  # true of an image's first crop
                    view = View(crop.xyxy, embedding, self.model.image_encoder.img_size)
                yield _EncodedCrop((height, width), crop, embedding, view)

    @ambient_state_aside()
    def _embeddings(self, crops: list[Image]) -> list[ImageEmbedding]:
        """The crops' embeddings, from one batch or, if device memory is too small, from two halves."""
        try:
            return self.model.encode_batch(crops, product_dtype(self.options))
        except torch.OutOfMemoryError:
            if len(crops) == 1:
                raise
        torch.cuda.empty_cache()  # not in the except: its traceback holds what the encoder had made
        middle = len(crops) // 2
        return self._embeddings(crops[:middle]) + self._embeddings(crops[middle:])

    @ambient_state_aside()
    def _masks_of_crop(self, encoded: _EncodedCrop) -> ImageMasks:
        """The masks of a crop, in the frame of its image."""
        with self._under_way.ends():
            return self._masks_of_encoded(encoded)

    def _masks_of_encoded(self, encoded: _EncodedCrop) -> ImageMasks:
        crop, features = encoded.crop, encoded.embedding.features_1Chw
        height, width = encoded.embedding.original_size
        # read at the end, when the device has computed it anyway
        is_finite = torch.isfinite(features).all()
        frame = CropFrame(height, width, self.model.image_encoder.img_size, 4 * features.shape[2])
        points_N2 = self.point_grids[crop.layer] * np.array([width, height])
        decoder = self._decoder(self.model, features, frame, self.options)
        masks = crop_masks(decoder, points_N2, crop.xyxy, encoded.image_size, self.options)
        refuse_not_finite(is_finite, self.options)
        return with_embeddings(masks, encoded.described_by) if self.options.mask_embeddings else masks

    @staticmethod
    def postprocess_small_regions(mask_data: MaskData, min_area: int, nms_thresh: float) -> MaskData:
        """SA's separate step on SA's MaskData; `generate` itself uses masks/small_regions.py."""
        return without_small_regions_of_data(mask_data, min_area, nms_thresh)

    @ambient_state_aside()
    def _masks_of_image(self, crops: Sequence[Crop], parts: Sequence[ImageMasks]) -> ImageMasks:
        masks = masks_across_crops(crops, parts, self.options)
        if self.options.mask_embeddings:
            masks = replace(masks, image_embedding=image_embedding_of(crops, parts))
        return (
            masks_without_small_regions(masks, self.options) if self.options.min_mask_region_area else masks
        )


def _refuse_no_images(images: object, expected: str) -> None:
    """Raises: ValueError for anything that does not iterate over images, such as a single image."""
    is_image = isinstance(images, str | bytes) or (isinstance(images, np.ndarray) and images.ndim < 4)
    if is_image or not isinstance(images, Iterable):
        raise ValueError(f"{expected}, got {type(images).__name__}; pass [image]")


def _refuse_overrides(cls: type[SamAutomaticMaskGenerator]) -> None:
    names = [name for name in NOT_CALLED if hasattr(cls, name)]
    if cls.postprocess_small_regions is not SamAutomaticMaskGenerator.postprocess_small_regions:
        names.append("postprocess_small_regions")
    if names:
        raise TypeError(
            f"{cls.__name__} defines {', '.join(names)}, which mask generation does not call: override "
            "generate_batch, or give a decoder (docs/drop-in.md)"
        )
