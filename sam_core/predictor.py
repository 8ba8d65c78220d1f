"""`SamPredictor` as SA's scripts know it: a thin shell that holds one `ImageEmbedding` between calls."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from sam_core.model.resize import ResizeLongestSide
from sam_core.model.sam import ImageEmbedding, Sam


class SamPredictor:
    """Masks for prompts on the image that was set last. Source: segment-anything dca509f, predictor.py."""

    def __init__(self, sam_model: Sam) -> None:
        self.model = sam_model
        self.transform = ResizeLongestSide(sam_model.image_encoder.img_size)
        self._embedding: ImageEmbedding | None = None

    @property
    def device(self) -> torch.device:
        """Where the model's weights are."""
        return self.model.device

    @property
    def is_image_set(self) -> bool:
        """Whether prompts can be answered."""
        return self._embedding is not None

    @property
    def features(self) -> Tensor:
        """The image's embedding, [1, C, h, w]. Raises: RuntimeError where no image is set."""
        return self.embedding.features_1Chw

    @property
    def original_size(self) -> tuple[int, int]:
        """(height, width) of the image. Raises: RuntimeError where no image is set."""
        return self.embedding.original_size

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the image as the model sees it. Raises: RuntimeError where no image is set."""
        return self.embedding.input_size

    @property
    def embedding(self) -> ImageEmbedding:
        """What the encoder made of the image. Raises: RuntimeError where no image is set."""
        if self._embedding is None:
            raise RuntimeError("no image is set; call set_image before predicting")
        return self._embedding

    def get_image_embedding(self) -> Tensor:
        """SA's name for `features`."""
        return self.features

    def set_image(self, image: np.ndarray, image_format: Literal["RGB", "BGR"] = "RGB") -> None:
        """Encode an image, uint8 [H, W, 3]. Raises: ValueError where it is something else."""
        if image_format not in ("RGB", "BGR"):
            raise ValueError(f"image_format is RGB or BGR, got {image_format}")
        self._embedding = self.model.encode(
            image if image_format == self.model.image_format else image[..., ::-1]
        )

    @torch.no_grad()
    def set_torch_image(self, transformed_image: Tensor, original_image_size: Sequence[int]) -> None:
        """Encode an image, [1, 3, h, w], RGB 0..255, whose longest side already is the model's."""
        side = self.model.image_encoder.img_size
        shape = transformed_image.shape
        if len(shape) != 4 or shape[:2] != (1, 3) or max(shape[2:]) != side:
            raise ValueError(
                f"set_torch_image takes [1, 3, h, w] with a longest side of {side}, got {list(shape)}"
            )
        features = self.model.image_encoder(self.model.preprocess(transformed_image))
        height, width = original_image_size
        self._embedding = ImageEmbedding(features, (shape[2], shape[3]), (height, width))

    def reset_image(self) -> None:
        """Forget the image."""
        self._embedding = None

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
        frame; mask_input [1, h, w] is an earlier answer's low-resolution logits.
        Raises: RuntimeError where no image is set, ValueError where points come without labels.
        """
        size = self.original_size
        coords, labels, boxes, masks = None, None, None, None
        if point_coords is not None:
            if point_labels is None:
                raise ValueError("point_coords came without point_labels; give one label a point")
            coords = self._batch_of_one(self.transform.apply_coords(np.asarray(point_coords), size))
            labels = self._batch_of_one(np.asarray(point_labels)).int()
        if box is not None:
            boxes = self._batch_of_one(self.transform.apply_boxes(np.asarray(box), size)[0])
        if mask_input is not None:
            masks = self._batch_of_one(mask_input)
        answers = self.predict_torch(coords, labels, boxes, masks, multimask_output, return_logits)
        masks_MHW, iou_M, low_res_Mhw = (answer[0].cpu().numpy() for answer in answers)
        return masks_MHW, iou_M, low_res_Mhw

    @torch.no_grad()
    def predict_torch(
        self,
        point_coords: Tensor | None,
        point_labels: Tensor | None,
        boxes: Tensor | None = None,
        mask_input: Tensor | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As `predict`, for B prompts whose coordinates `self.transform` has brought to the model's frame.

        Points [B, N, 2] with labels [B, N], boxes [B, 4], mask_input [B, 1, h, w].
        """
        image = self.embedding
        if point_coords is not None and point_labels is None:
            raise ValueError("point_coords came without point_labels; give one label a point")
        points = None if point_coords is None or point_labels is None else (point_coords, point_labels)
        encoder = self.model.prompt_encoder
        sparse, dense = encoder(points, boxes, mask_input)
        low_res_logits, iou_predictions = self.model.mask_decoder(
            image.features_1Chw, encoder.get_dense_pe(), sparse, dense, multimask_output
        )
        masks = self.model.postprocess_masks(low_res_logits, image.input_size, image.original_size)
        return (
            masks if return_logits else masks > self.model.mask_threshold,
            iou_predictions,
            low_res_logits,
        )

    def _batch_of_one(self, values: np.ndarray) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=self.device)[None]
