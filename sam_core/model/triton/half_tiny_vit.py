"""TinyViT for inference in float16, channels last throughout.

BatchNorm is folded into its convolution once. Products, attention and the stream are float16; norms,
depthwise convolutions' sums and the neck's first product are float32. After products, GELU is the tanh form,
within 5e-4 of the erf form that the convolutions' own kernels use. Nothing waits for the device, and each
call has its own scratch memory. Oracle: `sam_core.model.tiny_vit.TinyViT`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from sam_core.model.layers import typed_layer
from sam_core.model.tiny_vit import Conv2d_BN, MBConv, PatchMerging, Stage, TinyViT, TinyViTBlock
from sam_core.model.triton.first_convolution import convolution_taps, first_convolution
from sam_core.model.triton.half_neck import HalfNeck
from sam_core.model.triton.half_tiny_blocks import HalfAttentionBlock, HalfConvolutions
from sam_core.model.triton.heads import heads_serve


@dataclass(frozen=True)
class HalfStage:
    """Blocks of one resolution, all of one kind, then the step to the next stage."""

    convolutions: list[HalfConvolutions]
    attentions: list[HalfAttentionBlock]
    merging: HalfConvolutions | None

    @classmethod
    def of(cls, stage: Stage) -> "HalfStage":
        """The stage's weights, folded and cast."""
        down = stage.downsample
        return cls(
            [HalfConvolutions.of(block) for block in stage.blocks if isinstance(block, MBConv)],
            [HalfAttentionBlock.of(block) for block in stage.blocks if isinstance(block, TinyViTBlock)],
            None if down is None else HalfConvolutions.of(typed_layer(down, PatchMerging)),
        )

    def __call__(self, x_BHWC: Tensor) -> Tensor:
        for convolutions in self.convolutions:
            x_BHWC = convolutions(x_BHWC)
        y_TC: Tensor | None = None
        for attention in self.attentions:
            x_BHWC, y_TC = attention(x_BHWC, y_TC)
        if y_TC is not None:
            x_BHWC = x_BHWC + y_TC.view(x_BHWC.shape)
        return x_BHWC if self.merging is None else self.merging(x_BHWC)


class HalfTinyViT:
    """`TinyViT` in float16: features float32 [B, O, h, w] of images float32 [B, 3, H, W].

    If values are too large for float16, features are not finite.
    """

    @torch.no_grad()
    def __init__(self, encoder: TinyViT) -> None:
        first, second = (typed_layer(encoder.patch_embed.seq[index], Conv2d_BN) for index in (0, 2))
        weight, bias = first.folded()
        self.first_taps, self.first_bias = convolution_taps(weight.half()), bias.float().contiguous()
        weight, bias = second.folded()
        self.second_weight = weight.half().contiguous(memory_format=torch.channels_last)
        self.second_bias = bias.half()
        self.stages = [HalfStage.of(typed_layer(stage, Stage)) for stage in encoder.layers]
        self.neck = HalfNeck.of(encoder.neck)

    @torch.no_grad()
    def __call__(self, images_B3HW: Tensor) -> Tensor:
        x_BHWC = first_convolution(images_B3HW.contiguous(), self.first_taps, self.first_bias)
        x_BCHW = F.conv2d(
            x_BHWC.permute(0, 3, 1, 2), self.second_weight, self.second_bias, stride=2, padding=1
        )
        x_BHWC = x_BCHW.permute(0, 2, 3, 1).contiguous()
        for stage in self.stages:
            x_BHWC = stage(x_BHWC)
        B, H, W, _ = x_BHWC.shape
        return self.neck(x_BHWC.flatten(0, 2), (B, H, W))


def half_tiny_vit_serves(encoder: TinyViT) -> bool:
    """Whether `HalfTinyViT` supports this encoder's heads and the width of its first convolution."""
    width = typed_layer(encoder.patch_embed.seq[0], Conv2d_BN).c.out_channels
    blocks = [block for stage in encoder.layers for block in typed_layer(stage, Stage).blocks]
    attentions = [block.attn for block in blocks if isinstance(block, TinyViTBlock)]
    return (
        width >= 16
        and width & (width - 1) == 0
        and all(heads_serve(attn.proj.in_features, attn.num_heads) for attn in attentions)
    )
