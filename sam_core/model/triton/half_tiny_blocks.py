"""The blocks of TinyViT for inference in float16: weights folded and cast once.

Maps are [B, H, W, C], contiguous, so that a convolution of one pixel is a product of its rows. Oracles: the
classes of the same names in `sam_core.model.tiny_vit`.

Legend: B images, H x W places, C channels, T = B H W, S side of a window, P = S S, n heads.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from sam_core.model.tiny_vit import Conv2d_BN, MBConv, PatchMerging, TinyViTBlock
from sam_core.model.triton.depthwise_convolution import Depthwise
from sam_core.model.triton.gelu import gelu_of_sum
from sam_core.model.triton.half_linear import HalfLinear
from sam_core.model.triton.heads import Heads
from sam_core.model.triton.layer_norm import Copied, Norm, layer_norm, normalised
from sam_core.model.triton.window_attention import dense_bias, window_attention_with_bias


def _pointwise(layer: Conv2d_BN) -> HalfLinear:
    weight_OI11, bias_O = layer.folded()
    return HalfLinear(weight_OI11.flatten(1).half().contiguous(), bias_O.half().contiguous())


def _depthwise(layer: Conv2d_BN) -> Depthwise:
    return Depthwise.of(*layer.folded(), layer.c.stride[0])


@dataclass(frozen=True)
class HalfConvolutions:
    """Widen, depthwise, narrow: `PatchMerging`, or `MBConv` if `residual`, which adds the input."""

    widen: HalfLinear
    depthwise: Depthwise
    narrow: HalfLinear
    residual: bool

    @classmethod
    def of(cls, layers: MBConv | PatchMerging) -> "HalfConvolutions":
        """The three convolutions, BatchNorm folded in."""
        return cls(
            widen=_pointwise(layers.conv1),
            depthwise=_depthwise(layers.conv2),
            narrow=_pointwise(layers.conv3),
            residual=isinstance(layers, MBConv),
        )

    def __call__(self, x_BHWC: Tensor) -> Tensor:
        hidden = self.widen.with_gelu(x_BHWC.flatten(0, 2)).view(*x_BHWC.shape[:3], -1)
        hidden = self.depthwise(hidden, with_gelu=True)
        out = self.narrow(hidden.flatten(0, 2)).view(*hidden.shape[:3], -1)
        return gelu_of_sum(x_BHWC, out) if self.residual else out


@dataclass(frozen=True)
class HalfAttentionBlock:
    """`TinyViTBlock`: attention in windows, a depthwise convolution, an MLP."""

    window: int
    heads: Heads
    bias_nPK: Tensor
    padding: Tensor  # q, k and v of a padding token: zeros, which the norm turns into its bias
    norm1: Norm
    qkv: HalfLinear
    proj: HalfLinear
    local: Depthwise
    norm2: Norm
    fc1: HalfLinear
    fc2: HalfLinear

    @classmethod
    def of(cls, block: TinyViTBlock) -> "HalfAttentionBlock":
        """The block's weights, in float16 where products read them."""
        attn, mlp = block.attn, block.mlp
        padding = F.linear(attn.norm.bias, attn.qkv.weight, attn.qkv.bias)
        return cls(
            window=attn.window_size,
            heads=Heads.by_head(attn.num_heads, attn.proj.in_features // attn.num_heads),
            bias_nPK=dense_bias(attn.attention_biases[:, attn.attention_bias_idxs]),
            padding=padding.half().contiguous(),
            norm1=Norm.of(attn.norm),
            qkv=HalfLinear.of(attn.qkv),
            proj=HalfLinear.of(attn.proj),
            local=_depthwise(block.local_conv),
            norm2=Norm.of(mlp.norm),
            fc1=HalfLinear.of(mlp.fc1),
            fc2=HalfLinear.of(mlp.fc2),
        )

    def __call__(self, x_BHWC: Tensor, y_TC: Tensor | None) -> tuple[Tensor, Tensor]:
        """The map, and what is still to be added to it; y is the same from the block before. Writes to x."""
        B, H, W, C = x_BHWC.shape
        x_TC = x_BHWC.view(-1, C)
        qkv = torch.empty(len(x_TC) + 1, 3 * C, device=x_TC.device, dtype=x_TC.dtype)
        normal_TC, mixed_TC = torch.empty_like(x_TC), torch.empty_like(x_TC)
        layer_norm(x_TC, y_TC, self.norm1, normal_TC, Copied(self.padding, qkv[-1]))
        self.qkv.write(normal_TC, qkv[:-1])
        window_attention_with_bias(qkv, self.bias_nPK, mixed_TC, (B, H, W), self.window, self.heads)
        x_TC = x_TC + self.proj(mixed_TC)
        x_BHWC = self.local(x_TC.view(B, H, W, C), with_gelu=False)
        x_TC = x_BHWC.view(-1, C)
        normal_TC = normalised(x_TC, self.norm2, x_TC.dtype)
        return x_BHWC, self.fc2(self.fc1.with_gelu(normal_TC))
