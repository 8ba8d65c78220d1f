"""Masks and their predicted quality from an image embedding and prompt embeddings.

Source: "Segment Anything" (Kirillov et al., 2023), App. A "Lightweight mask decoder".
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from sam_core.model.layers import LayerNorm2d, MLPHead, typed_layer
from sam_core.model.transformer import TwoWayTransformer


class UpscalingLayers(NamedTuple):
    """The layers of `output_upscaling` that have weights; GELU follows the second and the third."""

    first: nn.ConvTranspose2d
    norm: LayerNorm2d
    second: nn.ConvTranspose2d


class MaskDecoder(nn.Module):
    """Mask logits at four times the embedding's resolution, and the predicted IoU of each."""

    def __init__(
        self,
        *,
        transformer_dim: int,
        transformer: TwoWayTransformer,
        num_multimask_outputs: int = 3,
        iou_head_depth: int = 3,
        iou_head_hidden_dim: int = 256,
    ) -> None:
        super().__init__()
        self.transformer_dim = transformer_dim
        self.transformer = transformer
        self.num_multimask_outputs = num_multimask_outputs
        self.num_mask_tokens = num_multimask_outputs + 1
        self.iou_token = nn.Embedding(1, transformer_dim)
        self.mask_tokens = nn.Embedding(self.num_mask_tokens, transformer_dim)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(transformer_dim, transformer_dim // 4, kernel_size=2, stride=2),
            LayerNorm2d(transformer_dim // 4),
            nn.GELU(),
            nn.ConvTranspose2d(transformer_dim // 4, transformer_dim // 8, kernel_size=2, stride=2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(
            MLPHead(transformer_dim, transformer_dim, transformer_dim // 8, num_layers=3)
            for _ in range(self.num_mask_tokens)
        )
        self.iou_prediction_head = MLPHead(
            transformer_dim, iou_head_hidden_dim, self.num_mask_tokens, iou_head_depth
        )

    def upscaling_layers(self) -> UpscalingLayers:
        """The members of `output_upscaling`, by their classes."""
        first, norm, _, second, _ = self.output_upscaling
        return UpscalingLayers(
            typed_layer(first, nn.ConvTranspose2d),
            typed_layer(norm, LayerNorm2d),
            typed_layer(second, nn.ConvTranspose2d),
        )

    def hypernetworks(self) -> list[MLPHead]:
        """The members of `output_hypernetworks_mlps`, one per mask token, the single-mask one first."""
        return [typed_layer(head, MLPHead) for head in self.output_hypernetworks_mlps]

    def forward(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
        multimask_output: bool,
    ) -> tuple[Tensor, Tensor]:
        """Logits [B, M, 4h, 4w] and predicted IoU [B, M] of B prompts on one image; M is 1 without multimask.

        image_embeddings and image_pe are [1, C, h, w]; the prompt embeddings come from the prompt encoder.
        """
        masks, iou_pred = self.predict_masks(
            image_embeddings, image_pe, sparse_prompt_embeddings, dense_prompt_embeddings
        )
        chosen = slice(1, None) if multimask_output else slice(0, 1)
        return masks[:, chosen], iou_pred[:, chosen]

    def predict_masks(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """As `forward`, for all mask tokens, the single-mask one first."""
        B = sparse_prompt_embeddings.shape[0]
        output_tokens = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([output_tokens.expand(B, -1, -1), sparse_prompt_embeddings], dim=1)
        image = image_embeddings + dense_prompt_embeddings
        tokens_out, image_out = self.transformer(image, image_pe.expand_as(image), tokens)

        features: Tensor = self.output_upscaling(image_out.transpose(1, 2).view_as(image))
        mask_tokens_out = tokens_out[:, 1 : 1 + self.num_mask_tokens].unbind(1)
        weights = [head(token) for head, token in zip(self.hypernetworks(), mask_tokens_out, strict=True)]
        masks = torch.einsum("bmc,bchw->bmhw", torch.stack(weights, dim=1), features)
        iou_pred: Tensor = self.iou_prediction_head(tokens_out[:, 0])
        return masks, iou_pred
