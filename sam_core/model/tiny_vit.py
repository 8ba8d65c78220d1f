"""TinyViT, the image encoder of MobileSAM: a convolutional stage and three stages of windowed attention.

For inference only: each call folds a BatchNorm into its convolution. That is only a few operations on
weights. Folding once would change the published state dict.

Feature maps are [B, C, H, W] in the channels-last memory layout, so that convolutions and the [B, H, W, C]
views of attention and MLPs need no copy.

Source: "TinyViT" (Wu et al., 2022), sec. 3; MobileSAM (Zhang et al., 2023).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam_core.model.bands import run_in_bands, run_in_chunks
from sam_core.model.image_encoder import neck
from sam_core.model.own_modules import is_own
from sam_core.model.presets import TinyVitPreset
from sam_core.model.windows import window_merge, window_partition


class Conv2d_BN(nn.Module):  # noqa: N801  TinyViT's own name
    """Convolution without bias, then BatchNorm with its running statistics."""

    def __init__(
        self, in_chans: int, out_chans: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.c = nn.Conv2d(in_chans, out_chans, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out_chans)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        if not (is_own(self.c) and is_own(self.bn)):  # an adapter, or a hook
            normal: Tensor = self.bn(self.c(x_BCHW))
            return normal
        return F.conv2d(x_BCHW, *self.folded(), self.c.stride, self.c.padding, groups=self.c.groups)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the convolution that equals convolution and BatchNorm together."""
        variance, mean = self.bn.running_var, self.bn.running_mean
        assert variance is not None  # noqa: S101  BatchNorm2d tracks its statistics unless it is switched off
        assert mean is not None  # noqa: S101
        gain = self.bn.weight * torch.rsqrt(variance + self.bn.eps)
        return self.c.weight * gain[:, None, None, None], self.bn.bias - mean * gain


class ConvPatchEmbed(nn.Module):
    """Features at a quarter of the image's resolution."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.seq = nn.Sequential(
            Conv2d_BN(3, dim // 2, kernel=3, stride=2),
            nn.GELU(),
            Conv2d_BN(dim // 2, dim, kernel=3, stride=2),
        )

    def forward(self, images_B3HW: Tensor) -> Tensor:
        return run_in_bands(self.seq, images_B3HW, stride=4)


class MBConv(nn.Module):
    """Inverted bottleneck: widen, depthwise 3 x 3, narrow; the last GELU comes after the residual."""

    def __init__(self, dim: int, expand_ratio: int) -> None:
        super().__init__()
        hidden = dim * expand_ratio
        self.conv1 = Conv2d_BN(dim, hidden)
        self.conv2 = Conv2d_BN(hidden, hidden, kernel=3, groups=hidden)
        self.conv3 = Conv2d_BN(hidden, dim)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return run_in_bands(self._band, x_BCHW, stride=1)

    def _band(self, x_BCHW: Tensor) -> Tensor:
        hidden = F.gelu(self.conv2(F.gelu(self.conv1(x_BCHW))))
        return F.gelu(x_BCHW + self.conv3(hidden))


class PatchMerging(nn.Module):
    """Converts features to the next stage's width and resolution."""

    def __init__(self, dim: int, out_dim: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = Conv2d_BN(dim, out_dim)
        self.conv2 = Conv2d_BN(out_dim, out_dim, kernel=3, stride=stride, groups=out_dim)
        self.conv3 = Conv2d_BN(out_dim, out_dim)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return run_in_bands(self._band, x_BCHW, self.stride)

    def _band(self, x_BCHW: Tensor) -> Tensor:
        merged: Tensor = self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x_BCHW)))))
        return merged


class TinyViTAttention(nn.Module):
    """Attention inside windows, with one learnt bias per head and absolute offset between query and key."""

    attention_bias_idxs: Tensor

    def __init__(self, dim: int, num_heads: int, window_size: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.window_size = window_size
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.attention_biases = nn.Parameter(torch.zeros(num_heads, window_size**2))
        # On the CPU even if the model is built on "meta": no checkpoint contains this buffer.
        place = torch.arange(window_size**2, device="cpu")
        row, column = place // window_size, place % window_size
        row_offset, column_offset = (row[:, None] - row).abs(), (column[:, None] - column).abs()
        self.register_buffer(
            "attention_bias_idxs", row_offset * window_size + column_offset, persistent=False
        )

    def forward(self, x_BHWC: Tensor) -> Tensor:
        H, W = x_BHWC.shape[1:3]
        windows = self.norm(window_partition(x_BHWC, self.window_size))
        q, k, v = self.qkv(windows).view(*windows.shape[:2], self.num_heads, 3, -1).permute(3, 0, 2, 1, 4)
        bias = self.attention_biases[:, self.attention_bias_idxs].to(q.dtype)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None])
        projected: Tensor = self.proj(window_merge(out.transpose(1, 2).flatten(2), self.window_size, H, W))
        return projected


class TinyViTMLP(nn.Module):
    """LayerNorm and two layers around GELU."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(self.norm(x))))
        return out


class TinyViTBlock(nn.Module):
    """Windowed attention, a depthwise convolution that joins the windows, and an MLP."""

    def __init__(self, dim: int, num_heads: int, window_size: int, mlp_ratio: int) -> None:
        super().__init__()
        self.attn = TinyViTAttention(dim, num_heads, window_size)
        self.local_conv = Conv2d_BN(dim, dim, kernel=3, groups=dim)
        self.mlp = TinyViTMLP(dim, dim * mlp_ratio)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BHWC = x_BCHW.permute(0, 2, 3, 1)
        x_BHWC = x_BHWC + self.attn(x_BHWC)
        x_BHWC = self.local_conv(x_BHWC.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        out_BHWC: Tensor = x_BHWC + run_in_chunks(self.mlp, x_BHWC)
        return out_BHWC.permute(0, 3, 1, 2)


class Stage(nn.Module):
    """Blocks of one resolution, then the step to the next stage unless this is the last."""

    def __init__(self, blocks: list[nn.Module], downsample: nn.Module | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample

    def forward(self, x_BCHW: Tensor) -> Tensor:
        for block in self.blocks:
            x_BCHW = block(x_BCHW)
        if self.downsample is not None:
            x_BCHW = self.downsample(x_BCHW)
        return x_BCHW


class TinyViT(nn.Module):
    """Embeddings [B, out_chans, grid, grid] of normalised images [B, 3, img_size, img_size]."""

    def __init__(self, preset: TinyVitPreset) -> None:
        super().__init__()
        self.img_size = preset.img_size
        dims = preset.embed_dims
        self.patch_embed = ConvPatchEmbed(dims[0])
        self.layers = nn.ModuleList()
        for index, dim in enumerate(dims):
            blocks: list[nn.Module] = [
                TinyViTBlock(dim, preset.num_heads[index], preset.window_sizes[index], preset.mlp_ratio)
                if index
                else MBConv(dim, preset.mbconv_expand_ratio)
                for _ in range(preset.depths[index])
            ]
            is_last = index == len(dims) - 1
            downsample = None if is_last else PatchMerging(dim, dims[index + 1], preset.strides[index])
            self.layers.append(Stage(blocks, downsample))
        self.neck = neck(dims[-1], preset.out_chans)

    def forward(self, images_B3HW: Tensor) -> Tensor:
        x_BCHW = self.patch_embed(images_B3HW.contiguous(memory_format=torch.channels_last))
        for layer in self.layers:
            x_BCHW = layer(x_BCHW)
        embedding: Tensor = self.neck(x_BCHW)
        return embedding
