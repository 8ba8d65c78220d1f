"""TinyViT's first convolution, 3 x 3 with stride 2 over the three planes of an image, with bias and GELU.

The 27 taps of a place are one row of a product, padded to 32; the input is planes, the output channels last.
Oracle: `sam_core.model.tiny_vit.ConvPatchEmbed`'s first two layers.

Legend: B images of 3 planes of H x W pixels, h x w places, O channels out.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from sam_core.model.triton.gelu import gelu

TAPS, TAP_ROWS = 27, 32
PLACES = 128  # of a program; tuned on an H100
WARPS = 4


@triton.jit
def first_convolution_kernel(  # type: ignore[no-untyped-def]
    image, taps, bias, out, H, W, h, w, WIDTH: tl.constexpr, BLOCK: tl.constexpr
):
    """BLOCK places of one row."""
    x = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    y = tl.program_id(1)
    batch = tl.program_id(2).to(tl.int64)
    k = tl.arange(0, 32)
    channel = k // 9
    source_y = y * 2 + (k % 9) // 3 - 1
    source_x = x[:, None] * 2 + (k % 3)[None, :] - 1
    in_row = (k < 27) & (source_y >= 0) & (source_y < H)
    pixels = tl.load(
        image + batch * 3 * H * W + (channel * H * W + source_y * W)[None, :] + source_x,
        mask=in_row[None, :] & (source_x >= 0) & (source_x < W), other=0.0,
    )  # fmt: skip
    o = tl.arange(0, WIDTH)
    weights = tl.load(taps + k[:, None] * WIDTH + o[None, :])
    value = tl.dot(pixels.to(weights.dtype), weights) + tl.load(bias + o)[None, :]
    place = (batch * h + y) * w + x
    tl.store(
        out + place[:, None] * WIDTH + o[None, :], gelu(value).to(out.dtype.element_ty), mask=(x < w)[:, None]
    )


def convolution_taps(weight_O333: Tensor) -> Tensor:
    """The weights as the kernel reads them, [32, O]."""
    taps = weight_O333.new_zeros(TAP_ROWS, len(weight_O333))
    taps[:TAPS] = weight_O333.flatten(1).T
    return taps


def first_convolution(images_B3HW: Tensor, taps: Tensor, bias_O: Tensor) -> Tensor:
    """GELU of the convolution, [B, h, w, O] in the dtype of `taps`.

    images_B3HW: contiguous. taps: of `convolution_taps`, O a power of two from 16 on. bias_O: float32.
    """
    B, _, H, W = images_B3HW.shape
    h, w, width = (H - 1) // 2 + 1, (W - 1) // 2 + 1, taps.shape[1]
    out = torch.empty(B, h, w, width, device=images_B3HW.device, dtype=taps.dtype)
    first_convolution_kernel[(triton.cdiv(w, PLACES), h, B)](
        images_B3HW, taps, bias_O, out, H, W, h, w, WIDTH=width, BLOCK=PLACES, num_warps=WARPS
    )
    return out
