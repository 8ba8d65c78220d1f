"""`SamPredictor` as SA's scripts use it: it holds the embedding of one image between calls.

The attributes are SA's and may be set: scripts that have stored an embedding restore it by setting
`features`, `original_size`, `input_size` and `is_image_set`.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from sam_core.arguments import checked_size
from sam_core.model.ambient import ambient_state_aside
from sam_core.model.prompts import (
    checked_box,
    checked_mask,
    checked_points,
    checked_prompts,
    embedded_prompts,
)
from sam_core.model.resize import ResizeLongestSide
from sam_core.model.rgb_image import checked_image
from sam_core.model.sam import ImageEmbedding, Sam


class SamPredictor:
    """Masks for prompts on the image that was set last. Source: segment-anything dca509f, predictor.py."""

    is_image_set: bool  # whether `predict` can be called
    features: Tensor | None  # the image's embedding, [1, C, h, w]
    original_size: tuple[int, int] | None  # (height, width) of the image
    input_size: tuple[int, int] | None  # (height, width) of the image as the model sees it

    def __init__(self, sam_model: Sam) -> None:
        """A predictor without an image. Raises: ValueError if `sam_model` is not a model."""
        if not hasattr(sam_model, "image_encoder"):  # not isinstance, because a wrapped model works too
            raise not_a_model(sam_model, "a predictor")
        self.model = sam_model
        self.transform = ResizeLongestSide(sam_model.image_encoder.img_size)
        self.reset_image()

    @property
    def device(self) -> torch.device:
        """Where the model's weights are."""
        return self.model.device

    @property
    def orig_h(self) -> int | None:
        """Height of the image; None if no image is set. In the original it is always None."""
        return self.original_size[0] if self.original_size else None

    @property
    def orig_w(self) -> int | None:
        """Width of the image; None if no image is set."""
        return self.original_size[1] if self.original_size else None

    @property
    def input_h(self) -> int | None:
        """Height of the image as the model sees it; None if no image is set."""
        return self.input_size[0] if self.input_size else None

    @property
    def input_w(self) -> int | None:
        """Width of the image as the model sees it; None if no image is set."""
        return self.input_size[1] if self.input_size else None

    @property
    def embedding(self) -> ImageEmbedding:
        """The image's embedding with its sizes. Raises: RuntimeError if no image is set."""
        features, input_size, original_size = self.features, self.input_size, self.original_size
        if not self.is_image_set or features is None or input_size is None or original_size is None:
            raise RuntimeError("no image is set; call set_image before predicting")
        return ImageEmbedding(features, input_size, original_size)

    def get_image_embedding(self) -> Tensor:
        """The image's embedding, [1, C, h, w]. Raises: RuntimeError if no image is set."""
        return self.embedding.features_1Chw

    def set_image(self, image: np.ndarray, image_format: Literal["RGB", "BGR"] = "RGB") -> None:
        """Encode an image, uint8 [H, W, 3]. Raises: ValueError for anything else."""
        if image_format not in ("RGB", "BGR"):
            raise ValueError(f"image_format must be RGB or BGR, got {image_format!r}")
        pixels = checked_image(image)
        if image_format != self.model.image_format:
            pixels = pixels[..., ::-1]
        fitted = torch.from_numpy(self.transform.apply_image(pixels)).permute(2, 0, 1)[None]
        height, width = pixels.shape[:2]
        self.set_torch_image(fitted.to(self.device), (height, width))

    @ambient_state_aside()
    def set_torch_image(self, transformed_image: Tensor, original_image_size: Sequence[int]) -> None:
        """Encode an image, [1, 3, h, w], RGB 0..255, whose longest side already has the model's size.

        Raises: ValueError if it has another shape, or if the original size is not two whole numbers.
        """
        side = self.model.image_encoder.img_size
        shape = tuple(getattr(transformed_image, "shape", ()))
        if not isinstance(transformed_image, Tensor) or len(shape) != 4 or shape[:2] != (1, 3):
            raise ValueError(
                f"set_torch_image needs a tensor [1, 3, h, w], got {type(transformed_image).__name__} "
                f"{list(shape)}; use set_image for arrays [h, w, 3], and "
                "sam.image_encoder(sam.preprocess(x)) for a batch"
            )
        if max(shape[2:]) != side:
            raise ValueError(
                f"set_torch_image needs [1, 3, h, w] with a longest side of {side}, got {list(shape)}; "
                "resize an array with transform.apply_image"
            )
        original_size = checked_size(original_image_size, "original_image_size")
        self.reset_image()
        features = self.model.image_encoder(self.model.preprocess(transformed_image.to(self.device)))
        self.features, self.is_image_set = features, True
        self.original_size, self.input_size = original_size, (shape[2], shape[3])

    def reset_image(self) -> None:
        """Forget the image."""
        self.is_image_set = False
        self.features = self.original_size = self.input_size = None

    def predict(
        self,
        point_coords: np.ndarray | None = None,
        point_labels: np.ndarray | None = None,
        box: np.ndarray | None = None,
        mask_input: np.ndarray | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Masks [M, H, W] (bool, or logits), predicted IoU [M], low-resolution logits [M, h, w] of a prompt.

        Points [N, 2] (x, y) with labels [N] (1 object, 0 background) and the box [4] XYXY are in the image's
        frame; mask_input [1, h, w] is the low-resolution logits of an earlier call.
        Raises: RuntimeError if no image is set, ValueError for any other prompt.
        """
        size = self.embedding.original_size
        coords, labels, boxes, masks = None, None, None, None
        if point_coords is not None:
            coords_N2, labels_N = checked_points(point_coords, point_labels)
            coords = self._batch_of_one(self.transform.apply_coords(coords_N2, size))
            labels = self._batch_of_one(labels_N).int()
        if box is not None:
            boxes = self._batch_of_one(self.transform.apply_boxes(checked_box(box), size)[0])
        if mask_input is not None:
            masks = self._batch_of_one(checked_mask(mask_input, self.model.prompt_encoder))
        answers = self.predict_torch(coords, labels, boxes, masks, multimask_output, return_logits)
        masks_MHW, iou_M, low_res_Mhw = (answer[0].cpu().numpy() for answer in answers)
        return masks_MHW, iou_M, low_res_Mhw

    @ambient_state_aside()
    def predict_torch(
        self,
        point_coords: Tensor | None,
        point_labels: Tensor | None,
        boxes: Tensor | None = None,
        mask_input: Tensor | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As `predict`, for B prompts whose coordinates `self.transform` has converted to the model's frame.

        Points [B, N, 2] with labels [B, N], boxes [B, 4], mask_input [B, 1, h, w].
        Raises: RuntimeError if no image is set, ValueError for prompts of other shapes or if the numbers of
        prompts do not match.
        """
        image, encoder = self.embedding, self.model.prompt_encoder
        points = checked_prompts(encoder, point_coords, point_labels, boxes, mask_input)
        sparse, dense = embedded_prompts(encoder, points, boxes, mask_input)
        low_res_logits, iou_predictions = self.model.mask_decoder(
            image.features_1Chw, encoder.get_dense_pe(), sparse, dense, multimask_output
        )
        masks = self.model.postprocess_masks(low_res_logits, image.input_size, image.original_size)
        return (
            masks if return_logits else masks > self.model.mask_threshold,
            iou_predictions,
            low_res_logits,
        )

    def _batch_of_one(self, values: np.ndarray | Tensor) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=self.device)[None]


def not_a_model(model: object, taker: str) -> ValueError:
    """The error to raise when `taker` got something that is not a model."""
    if hasattr(model, "_orig_mod"):  # torch's
        return ValueError(
            f"{taker} does not accept a model that torch.compile has wrapped; compile only its encoder: "
            "sam.image_encoder = torch.compile(sam.image_encoder)"
        )
    kind = f"{type(model).__module__}.{type(model).__qualname__}".removeprefix("builtins.")
    return ValueError(
        f"{taker} needs a model from sam_core.sam_model_registry, got {kind}; "
        'build it with sam_model_registry["vit_b"](checkpoint=...)'
    )
