"""SAM's ViT image encoder: a transformer with four global attention blocks; the others use windows.

Source: "Segment Anything" (Kirillov et al., 2023), App. A; ViTDet (Li et al., 2022), sec. 3.
"""

import torch
from torch import Tensor, nn

from sam_core.model.attention import ViTAttention
from sam_core.model.bands import run_in_chunks
from sam_core.model.layers import LayerNorm2d, TransformerMLP
from sam_core.model.presets import VitPreset

NORM_EPS = 1e-6  # the encoder was trained with this value, not with torch's 1e-5


def neck(in_chans: int, out_chans: int) -> nn.Sequential:
    """Layers that convert an encoder's last features to the decoder's width."""
    return nn.Sequential(
        nn.Conv2d(in_chans, out_chans, kernel_size=1, bias=False),
        LayerNorm2d(out_chans),
        nn.Conv2d(out_chans, out_chans, kernel_size=3, padding=1, bias=False),
        LayerNorm2d(out_chans),
    )


class PatchEmbed(nn.Module):
    """One token per patch, channels last."""

    def __init__(self, patch_size: int, embed_dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, embed_dim, kernel_size=patch_size, stride=patch_size)

    def forward(self, images_B3HW: Tensor) -> Tensor:
        tokens_BCHW: Tensor = self.proj(images_B3HW)
        return tokens_BCHW.permute(0, 2, 3, 1)


class ViTBlock(nn.Module):
    """Attention and MLP, each after a LayerNorm and around a residual connection."""

    def __init__(self, preset: VitPreset, window_size: int) -> None:
        super().__init__()
        dim = preset.embed_dim
        self.norm1 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.attn = ViTAttention(dim, preset.num_heads, preset.grid_size, window_size, preset.use_rel_pos)
        self.norm2 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.mlp = TransformerMLP(dim, int(dim * preset.mlp_ratio), nn.GELU)

    def forward(self, x_BHWC: Tensor) -> Tensor:
        x_BHWC = x_BHWC + self.attn(self.norm1(x_BHWC))
        return x_BHWC + run_in_chunks(self.mlp, self.norm2(x_BHWC))


class ImageEncoderViT(nn.Module):
    """Embeddings [B, out_chans, grid, grid] of normalised images [B, 3, img_size, img_size]."""

    def __init__(self, preset: VitPreset) -> None:
        super().__init__()
        self.img_size = preset.img_size
        self.patch_embed = PatchEmbed(preset.patch_size, preset.embed_dim)
        self.pos_embed: nn.Parameter | None = None
        if preset.use_abs_pos:
            self.pos_embed = nn.Parameter(
                torch.zeros(1, preset.grid_size, preset.grid_size, preset.embed_dim)
            )
        window_sizes = [preset.window_size] * preset.depth
        for index in preset.global_attn_indexes:
            window_sizes[index] = 0
        self.blocks = nn.ModuleList(ViTBlock(preset, window_size) for window_size in window_sizes)
        self.neck = neck(preset.embed_dim, preset.out_chans)

    def forward(self, images_B3HW: Tensor) -> Tensor:
        x_BHWC = self.patch_embed(images_B3HW)
        if self.pos_embed is not None:
            x_BHWC = x_BHWC + self.pos_embed
        for block in self.blocks:
            x_BHWC = block(x_BHWC)
        embedding: Tensor = self.neck(x_BHWC.permute(0, 3, 1, 2))
        return embedding
