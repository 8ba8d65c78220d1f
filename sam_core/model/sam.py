"""The whole model: image encoder, prompt encoder and mask decoder, and conversion between their frames.

`encode` returns an `ImageEmbedding`, which holds its two sizes; the model stores nothing between calls. Sizes
are (height, width).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam_core.arguments import checked_size, in_words
from sam_core.model.ambient import ambient_state_aside
from sam_core.model.device_encoder import current_card, half_encoder_of, resized_inputs
from sam_core.model.host_copies import on_device
from sam_core.model.image_encoder import ImageEncoderViT
from sam_core.model.mask_decoder import MaskDecoder
from sam_core.model.prompt_encoder import PromptEncoder
from sam_core.model.prompts import Points, checked_prompts, embedded_prompts
from sam_core.model.resize import ResizeLongestSide, fitted_size
from sam_core.model.rgb_image import checked_image
from sam_core.model.tiny_vit import TinyViT

PIXEL_MEAN = (123.675, 116.28, 103.53)  # ImageNet's, RGB, 0..255
PIXEL_STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class ImageEmbedding:
    """The encoder's features of one image, and the sizes between which prompts and masks are converted."""

    features_1Chw: Tensor
    input_size: tuple[int, int]  # of the image after the resize, without the padding to a square
    original_size: tuple[int, int]


class Sam(nn.Module):
    """Segment Anything: masks from images and prompts."""

    mask_threshold: float = 0.0
    image_format: str = "RGB"
    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self,
        image_encoder: ImageEncoderViT | TinyViT,
        prompt_encoder: PromptEncoder,
        mask_decoder: MaskDecoder,
        pixel_mean: Sequence[float] = PIXEL_MEAN,
        pixel_std: Sequence[float] = PIXEL_STD,
    ) -> None:
        super().__init__()
        self.image_encoder = image_encoder
        self.prompt_encoder = prompt_encoder
        self.mask_decoder = mask_decoder
        # No checkpoint contains these, so they are made on the CPU even if the model is built on "meta".
        mean, std = (
            torch.tensor(values, dtype=torch.float32, device="cpu") for values in (pixel_mean, pixel_std)
        )
        self.register_buffer("pixel_mean", mean.view(-1, 1, 1), persistent=False)
        self.register_buffer("pixel_std", std.view(-1, 1, 1), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where the model's weights are."""
        return self.pixel_mean.device

    def preprocess(self, images: Tensor) -> Tensor:
        """Images [..., 3, h, w] (RGB, 0..255, longest side fitted) normalised, zero-padded to a square."""
        side = self.image_encoder.img_size
        normalised = (images - self.pixel_mean) / self.pixel_std
        return F.pad(normalised, (0, side - images.shape[-1], 0, side - images.shape[-2]))

    def encode(self, image_HW3: np.ndarray, dtype: torch.dtype = torch.float32) -> ImageEmbedding:
        """Embedding of an RGB uint8 image of any size. Raises: ValueError for anything else."""
        return self.encode_batch([image_HW3], dtype)[0]

    @ambient_state_aside()
    def encode_batch(
        self, images_HW3: Sequence[np.ndarray], dtype: torch.dtype = torch.float32
    ) -> list[ImageEmbedding]:
        """Embeddings of one or more RGB uint8 images of any sizes, encoded as one batch.

        dtype: of matrix products and convolutions. LayerNorm statistics, the ViT encoders' residual stream
        and the returned features are always float32.
        Raises: ValueError if one is not such an image.
        """
        images = [checked_image(image) for image in images_HW3]
        if self.image_format != "RGB":
            images = [image[..., ::-1] for image in images]
        with current_card(self.device):
            features = self._features(images, dtype)
        side = self.image_encoder.img_size
        return [
            ImageEmbedding(features[i : i + 1], fitted_size(height, width, side), (height, width))
            for i, (height, width, _) in enumerate(image.shape for image in images)
        ]

    def _features(self, images_HW3: Sequence[np.ndarray], dtype: torch.dtype) -> Tensor:
        inputs = resized_inputs(self, images_HW3)
        if inputs is None:
            inputs = torch.stack([self.resized_input(image) for image in images_HW3])
        encode = half_encoder_of(self, inputs) if dtype == torch.float16 else None
        if encode is not None:
            return encode(inputs)
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype != torch.float32):
            features: Tensor = self.image_encoder(inputs).float()
        return features

    def resized_input(self, image_HW3: np.ndarray) -> Tensor:
        """The encoder's input of an image, resized by Pillow; [3, side, side]."""
        fitted = ResizeLongestSide(self.image_encoder.img_size).apply_image(image_HW3)
        return self.preprocess(on_device(fitted, self.device).permute(2, 0, 1))

    def postprocess_masks(
        self, masks: Tensor, input_size: Sequence[int], original_size: Sequence[int]
    ) -> Tensor:
        """Logits [B, M, H, W] in the image's frame: resized to the model's square, cut, resized again."""
        side = self.image_encoder.img_size
        square = F.interpolate(masks, (side, side), mode="bilinear", align_corners=False)
        cut = square[..., : input_size[0], : input_size[1]]
        return F.interpolate(cut, tuple(original_size), mode="bilinear", align_corners=False)

    @ambient_state_aside()
    def forward(
        self, batched_input: Sequence[dict[str, Any]], multimask_output: bool
    ) -> list[dict[str, Tensor]]:
        """For each image `masks` bool [B, M, H, W], `iou_predictions` [B, M], `low_res_logits` [B, M, h, w].

        Each input has `image` (tensor [3, h, w], longest side fitted) and `original_size`, and any of
        `point_coords` [B, N, 2] with `point_labels` [B, N], `boxes` [B, 4], `mask_inputs` [B, 1, h, w], all
        in the frame of `image`. Source: segment-anything dca509f, modeling/sam.py.
        Raises: ValueError for any other input.
        """
        if not isinstance(batched_input, Sequence) or isinstance(batched_input, str) or not batched_input:
            raise ValueError(
                "batched_input must be a list with a dictionary for each of one or more images, "
                f"got {in_words(batched_input)}; pass [record] for one image"
            )
        checked = [self._checked_record(index, record) for index, record in enumerate(batched_input)]
        features = self.image_encoder(
            torch.stack([self.preprocess(record["image"]) for record in batched_input])
        )
        return [
            self._answer(record, points, original_size, features[i : i + 1], multimask_output)
            for i, (record, (points, original_size)) in enumerate(zip(batched_input, checked, strict=True))
        ]

    def _checked_record(self, index: int, record: Any) -> tuple[Points, tuple[int, int]]:
        """The points and the original size of an input. Raises: ValueError if anything is wrong with it."""
        name = f"batched_input[{index}]"
        if not isinstance(record, Mapping):
            raise ValueError(
                f"{name} must be a dictionary with image and original_size, got {in_words(record)}"
            )
        if missing := [key for key in ("image", "original_size") if key not in record]:
            raise ValueError(f"{name} has no {' and no '.join(missing)}; each input needs both")
        image, side = record["image"], self.image_encoder.img_size
        if not isinstance(image, Tensor) or image.ndim != 3 or len(image) != 3 or max(image.shape) > side:
            raise ValueError(
                f"{name} has an image that is not a tensor [3, h, w] with a longest side of {side}: "
                f"{in_words(image)}"
            )
        prompts = [record.get(key) for key in ("point_coords", "point_labels", "boxes", "mask_inputs")]
        try:
            points = checked_prompts(self.prompt_encoder, *prompts)
            return points, checked_size(record["original_size"], "original_size")
        except ValueError as wrong:
            raise ValueError(f"{name}: {wrong}") from None

    def _answer(
        self,
        record: Mapping[str, Any],
        points: Points,
        original_size: tuple[int, int],
        features: Tensor,
        multimask_output: bool,
    ) -> dict[str, Tensor]:
        boxes, masks = record.get("boxes"), record.get("mask_inputs")
        sparse, dense = embedded_prompts(self.prompt_encoder, points, boxes, masks)
        low_res_logits, iou_predictions = self.mask_decoder(
            features, self.prompt_encoder.get_dense_pe(), sparse, dense, multimask_output
        )
        logits = self.postprocess_masks(low_res_logits, record["image"].shape[-2:], original_size)
        return {
            "masks": logits > self.mask_threshold,
            "iou_predictions": iou_predictions,
            "low_res_logits": low_res_logits,
        }
