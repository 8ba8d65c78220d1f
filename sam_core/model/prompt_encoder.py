"""Prompts to embeddings: points and boxes become sparse tokens, a mask becomes a dense map.

Source: "Segment Anything" (Kirillov et al., 2023), App. A "Prompt encoder".
"""

import math

import torch
from torch import Tensor, nn

from sam_core.model.layers import LayerNorm2d

# Labels of points; the first marks padding
NOT_A_POINT, BACKGROUND, FOREGROUND = -1, 0, 1


class PositionEmbeddingRandom(nn.Module):
    """Positions as sines and cosines of random frequencies, [..., 2 * num_frequencies]."""

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, num_frequencies: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, num_frequencies))

    def forward(self, unit_coords: Tensor) -> Tensor:
        """Encodings of coordinates [..., 2] (x, y), each 0..1 over the model's input."""
        phases = 2 * math.pi * ((2 * unit_coords - 1) @ self.positional_encoding_gaussian_matrix)
        return torch.cat([phases.sin(), phases.cos()], dim=-1)


class PromptEncoder(nn.Module):
    """Sparse embeddings [B, tokens, embed_dim] and dense embeddings [B, embed_dim, h, w] of B prompts."""

    def __init__(
        self,
        embed_dim: int,
        image_embedding_size: tuple[int, int],
        input_image_size: tuple[int, int],
        mask_in_chans: int,
    ) -> None:
        super().__init__()
        self.embed_dim = embed_dim
        self.image_embedding_size = image_embedding_size
        self.input_image_size = input_image_size
        self.pe_layer = PositionEmbeddingRandom(embed_dim // 2)
        # background point, foreground point, a box's first corner, its second
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, embed_dim) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, embed_dim)
        self.no_mask_embed = nn.Embedding(1, embed_dim)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, mask_in_chans // 4, kernel_size=2, stride=2),
            LayerNorm2d(mask_in_chans // 4),
            nn.GELU(),
            nn.Conv2d(mask_in_chans // 4, mask_in_chans, kernel_size=2, stride=2),
            LayerNorm2d(mask_in_chans),
            nn.GELU(),
            nn.Conv2d(mask_in_chans, embed_dim, kernel_size=1),
        )

    @property
    def mask_input_size(self) -> tuple[int, int]:
        """(height, width) of the logits that the encoder accepts, four times the embedding's."""
        height, width = self.image_embedding_size
        return 4 * height, 4 * width

    def get_dense_pe(self) -> Tensor:
        """Encoding of every position of the image embedding, [1, embed_dim, h, w]."""
        h, w = self.image_embedding_size
        device = self.pe_layer.positional_encoding_gaussian_matrix.device
        y = (torch.arange(h, dtype=torch.float32, device=device) + 0.5) / h
        x = (torch.arange(w, dtype=torch.float32, device=device) + 0.5) / w
        grid_hw2 = torch.stack([x.expand(h, w), y[:, None].expand(h, w)], dim=-1)
        encoding: Tensor = self.pe_layer(grid_hw2)
        return encoding.permute(2, 0, 1)[None]

    def forward(
        self, points: tuple[Tensor, Tensor] | None, boxes: Tensor | None, masks: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Sparse and dense embeddings; all prompts are in the model's input frame.

        points: coordinates [B, N, 2] (x, y) and labels [B, N]; boxes: [B, 4] or [B, 2, 2] XYXY; masks: logits
        [B, 1, 4h, 4w]. Points without a box get one padding token. Without any prompt, B is 1 with 0 tokens.
        """
        sparse: list[Tensor] = []
        if points is not None:
            sparse.append(self._point_tokens(*points, pad=boxes is None))
        if boxes is not None:
            sparse.append(self._box_tokens(boxes))
        batch_size = sparse[0].shape[0] if sparse else 1 if masks is None else masks.shape[0]
        if masks is None:
            h, w = self.image_embedding_size
            dense = self.no_mask_embed.weight[:, :, None, None].expand(batch_size, -1, h, w)
        else:
            dense = self.mask_downscaling(masks)
        if not sparse:
            return self.no_mask_embed.weight.new_empty(batch_size, 0, self.embed_dim), dense
        return torch.cat(sparse, dim=1), dense

    def _kind(self, index: int) -> Tensor:
        return self.point_embeddings.get_parameter(f"{index}.weight")

    def _positions(self, coords_BN2: Tensor) -> Tensor:
        height, width = self.input_image_size
        x_BN, y_BN = (coords_BN2.float() + 0.5).unbind(-1)
        # divided by plain numbers: a tensor of the two sizes would have to be copied to the device
        encoding: Tensor = self.pe_layer(torch.stack([x_BN / width, y_BN / height], dim=-1))
        return encoding

    def _point_tokens(self, coords_BN2: Tensor, labels_BN: Tensor, pad: bool) -> Tensor:
        if pad:
            coords_BN2 = torch.cat([coords_BN2, coords_BN2.new_zeros(len(coords_BN2), 1, 2)], dim=1)
            labels_BN = torch.cat([labels_BN, labels_BN.new_full((len(labels_BN), 1), NOT_A_POINT)], dim=1)
        label = labels_BN[..., None]
        tokens = self._positions(coords_BN2)
        tokens = torch.where(label == BACKGROUND, tokens + self._kind(0), tokens)
        tokens = torch.where(label == FOREGROUND, tokens + self._kind(1), tokens)
        return torch.where(label == NOT_A_POINT, self.not_a_point_embed.weight, tokens)

    def _box_tokens(self, boxes_xyxy: Tensor) -> Tensor:
        corners = torch.cat([self._kind(2), self._kind(3)])
        return self._positions(boxes_xyxy.reshape(-1, 2, 2)) + corners
