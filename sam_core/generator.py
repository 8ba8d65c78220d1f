"""Every mask of an image: SAM prompted with a grid of points, in the whole image and in crops of it.

The class bears SA's name, arguments and records. The work is four steps a crop, each its own file: encode
(model/sam.py), decode (decoding/), select (masks/selection.py), and across crops select again. On a GPU
several crops are under way at once (crop_streams.py). The options are in option_attributes.py.

Memory beyond the model and an image of H x W pixels: 3 H W bytes for Pillow's copy of the largest crop, some
blocks of 16 MB, at most 0.26 MB of logits a candidate, and the runs of the masks that stay. No array has a
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
from sam_core.model.arguments import in_words
from sam_core.model.sam import ImageEmbedding, Sam
from sam_core.option_attributes import OptionAttributes, checked_options
from sam_core.options import MaskOptions
from sam_core.under_way import UnderWay
from sam_core.windows import Windows, checked_pixels, window_of

Image = npt.NDArray[np.uint8]  # RGB [H, W, 3]
MakeDecoder = Callable[[Sam, torch.Tensor, CropFrame, MaskOptions], CropDecoder]

# Crops that go through the encoder together. A CPU gains nothing from two.
GPU_ENCODER_BATCH = 2

# What SA's own generator calls and subclasses override; here mask generation has other steps.
NOT_CALLED = ("_generate_masks", "_process_crop", "_process_batch")


@dataclass(frozen=True)
class _CropOfImage:
    """A crop to be encoded, and the image that it is of."""

    image: Image | Windows
    crop: Crop


@dataclass(frozen=True)
class _EncodedCrop:
    """A crop on its way from the encoder to its masks."""

    image_size: tuple[int, int]
    crop: Crop
    embedding: ImageEmbedding
    described_by: View  # whose features describe the masks: of the whole image, or of the tile


class SamAutomaticMaskGenerator(OptionAttributes):
    """Masks of images. Keeps nothing between images, so that one generator serves any number of them."""

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

        point_grids: points of the image and of each layer of crops, x, y in 0..1; then points_per_side is
        None. output_mode: one of OUTPUT_MODES, what `generate` gives a mask as. decoder: makes the decoder of
        a crop, if another than the fastest is wanted; None is the fastest.

        Raises: ValueError for an unknown option, a value out of range, both or neither kind of grid, no
        model, or no decoder; TypeError for more arguments than there are, one given twice, or a class that
        overrides NOT_CALLED.
        """
        _refuse_overrides(type(self))
        if decoder is not None and not callable(decoder):
            raise ValueError(f"decoder makes the decoder of a crop, got {in_words(decoder)}; leave it out")
        super().__init__(model, points_per_side, in_order, named)
        self._decoder: MakeDecoder = decoder or crop_decoder
        self._under_way = UnderWay()

    @classmethod
    def from_options(cls, model: Sam, options: MaskOptions) -> "SamAutomaticMaskGenerator":
        """A generator of what the options say. Raises: ValueError if they are no MaskOptions."""
        return cls(model, **checked_options(options).model_dump())

    def generate(self, image: Image) -> list[dict[str, Any]]:
        """SA's records of all masks, in the form of output_mode; an image without a mask gives none."""
        return self.generate_masks(image).records(self.output_mode)

    def generate_masks(self, image: Image) -> ImageMasks:
        """All masks of an RGB uint8 image [H, W, 3]. Raises: ValueError for anything else."""
        return self.generate_batch([image])[0]

    def generate_batch(self, images: Sequence[Image | Windows]) -> list[ImageMasks]:
        """All masks of each image, whose sizes may differ; crops of several share the encoder's batches.

        An image may be one that is read by windows: of it no more is in memory than the crops at work.

        Raises: ValueError if one is anything but a uint8 array [H, W, 3].
        """
        _refuse_no_images(images, "generate_batch takes a list of images")
        return list(self.generate_many([checked_pixels(image) for image in images]))

    def generate_many(self, images: Iterable[Image | Windows]) -> Iterator[ImageMasks]:
        """All masks of each image of a stream, in its order.

        On a GPU the next images are taken and encoded before an image's masks come; on a CPU none is. A fault
        of any image that has been taken ends the stream.

        Raises: ValueError if it is no stream, and at an image that is anything but a uint8 array [H, W, 3].
        """
        _refuse_no_images(images, "generate_many takes a stream of images")
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
        """Since when no image is under way, by time.perf_counter(); inf while one is.

        For who gives images to `generate_many`: a wait for the next one costs a GPU no time before that.
        """
        return self._under_way.idle_since

    def _crops(
        self, images: Iterable[Image | Windows], under_way: deque[Sequence[Crop]]
    ) -> Iterator[_CropOfImage]:
        """All crops of all images; those of an image are added to `under_way` when it is taken."""
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
                if crop.layer == 0:  # the first one of an image is
                    view = View(crop.xyxy, embedding, self.model.image_encoder.img_size)
                yield _EncodedCrop((height, width), crop, embedding, view)

    @ambient_state_aside()
    def _embeddings(self, crops: list[Image]) -> list[ImageEmbedding]:
        """The crops' embeddings from one batch, or from two halves if the device lacks the memory for it."""
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
        """The masks that a crop gives its image."""
        with self._under_way.ends():
            return self._masks_of_encoded(encoded)

    def _masks_of_encoded(self, encoded: _EncodedCrop) -> ImageMasks:
        crop, features = encoded.crop, encoded.embedding.features_1Chw
        height, width = encoded.embedding.original_size
        # read at the end, when the device has come to it in any case
        is_finite = torch.isfinite(features).all()
        frame = CropFrame(height, width, self.model.image_encoder.img_size, 4 * features.shape[2])
        points_N2 = self.point_grids[crop.layer] * np.array([width, height])
        decoder = self._decoder(self.model, features, frame, self.options)
        masks = crop_masks(decoder, points_N2, crop.xyxy, encoded.image_size, self.options)
        refuse_not_finite(is_finite, self.options)
        return with_embeddings(masks, encoded.described_by) if self.options.mask_embeddings else masks

    @staticmethod
    def postprocess_small_regions(mask_data: MaskData, min_area: int, nms_thresh: float) -> MaskData:
        """SA's step on SA's MaskData, by itself; `generate` cleans its masks in masks/small_regions.py."""
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
    """Raises: ValueError for what gives no images one after the other, as one image does not."""
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
