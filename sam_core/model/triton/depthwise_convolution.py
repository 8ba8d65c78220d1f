"""A depthwise 3 x 3 convolution, channels last, with bias and GELU in the same launch.

Oracle: `torch.nn.functional.conv2d` with as many groups as channels, padding 1.

Legend: B images, H x W places in, h x w out, C channels.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from sam_core.model.triton.gelu import gelu

# Tuned on an H100: places and channels of a program.
PLACES, CHANNELS = 32, 64
WARPS = 4


@triton.jit
def depthwise_convolution_kernel(  # type: ignore[no-untyped-def]
    x_in, taps, bias, out, H, W, h, w, C,
    STRIDE: tl.constexpr, GELU: tl.constexpr, BLOCK_X: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """BLOCK_X places of one row, BLOCK_C channels of each."""
    blocks = tl.cdiv(w, BLOCK_X)
    x = (tl.program_id(0) % blocks) * BLOCK_X + tl.arange(0, BLOCK_X)
    c = (tl.program_id(0) // blocks) * BLOCK_C + tl.arange(0, BLOCK_C)
    y = tl.program_id(1)
    batch = tl.program_id(2).to(tl.int64)
    inside_c = c < C
    total = tl.zeros((BLOCK_X, BLOCK_C), tl.float32)
    total += tl.load(bias + c, mask=inside_c, other=0.0)[None, :]
    for dy in tl.static_range(3):
        source_y = y * STRIDE + dy - 1
        row = x_in + (batch * H + source_y) * W * C
        places = tl.where((source_y >= 0) & (source_y < H), W, 0)  # none in a row outside of the map
        for dx in tl.static_range(3):
            source_x = x * STRIDE + dx - 1
            inside = (source_x >= 0) & (source_x < places)
            value = tl.load(
                row + source_x[:, None] * C + c[None, :], mask=inside[:, None] & inside_c[None, :], other=0.0
            )
            weight = tl.load(taps + (dy * 3 + dx) * C + c, mask=inside_c, other=0.0)
            total += value.to(tl.float32) * weight[None, :]
    if GELU:
        total = gelu(total)
    place = (batch * h + y) * w + x
    tl.store(
        out + place[:, None] * C + c[None, :], total.to(out.dtype.element_ty),
        mask=(x < w)[:, None] & inside_c[None, :],
    )  # fmt: skip


@dataclass(frozen=True)
class Depthwise:
    """Weights of one such convolution, float32: nine taps row by row, [9, C], and the bias."""

    taps_9C: Tensor
    bias_C: Tensor
    stride: int

    @classmethod
    def of(cls, weight_C133: Tensor, bias_C: Tensor, stride: int) -> "Depthwise":
        """The same weights, from a convolution's."""
        return cls(weight_C133.flatten(1).T.float().contiguous(), bias_C.float().contiguous(), stride)

    def __call__(self, x_BHWC: Tensor, *, with_gelu: bool) -> Tensor:
        """[B, h, w, C] of a contiguous map, in its dtype."""
        B, H, W, C = x_BHWC.shape
        h, w = (H - 1) // self.stride + 1, (W - 1) // self.stride + 1
        out = torch.empty(B, h, w, C, device=x_BHWC.device, dtype=x_BHWC.dtype)
        channels = min(CHANNELS, triton.next_power_of_2(C))
        depthwise_convolution_kernel[(triton.cdiv(w, PLACES) * triton.cdiv(C, channels), h, B)](
            x_BHWC, self.taps_9C, self.bias_C, out, H, W, h, w, C,
            STRIDE=self.stride, GELU=with_gelu, BLOCK_X=PLACES, BLOCK_C=channels, num_warps=WARPS,
        )  # fmt: skip
        return out
