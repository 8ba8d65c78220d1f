"""From factors to mask logits in one kernel, with nothing written in between.

A program handles a tile of positions of one prompt. Each position becomes 2 x 2 pixels g of 64 channels
(first
convolution: s x W + A (U W), LayerNorm, GELU), and each of these becomes 2 x 2 pixels of 32 channels (second
convolution, GELU), which M <= 4 masks weigh. The four pixels of the second step are computed together, as 128
channels and a block-diagonal matrix of the masks' weights, in two halves to save registers.

In float16 GELU has its quick form, and logits have an error of 0.009 (rms); in float32 GELU uses erf, and the
error is less than 1e-4. Oracle: `upscaling.low_res_logits`.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from sam_core.decoding.triton.fused_decoder import FusedPrompts
from sam_core.decoding.triton.gelu import twice_gelu
from sam_core.decoding.triton.image_side_maps import FusedSide
from sam_core.decoding.triton.two_halves import product
from sam_core.model.triton.device import INTERPRETED


@dataclass(frozen=True)
class UpscaleTuning:
    """Tile of positions, warps and registers of a program."""

    tile: int
    warps: int
    registers: int


# for float16 tuned on an H100; for float32 chosen for few spills, without a card
TUNING = {
    torch.float16: UpscaleTuning(tile=128, warps=8, registers=128),
    torch.float32: UpscaleTuning(tile=64, warps=4, registers=255),
}


@triton.jit
def pixel_logits(  # type: ignore[no-untyped-def]
    factors, scale, position, is_shown, b, g, x_PN, values_BFN, second_a, second_b, hyper_a, hyper_b,
    norm_weight_c, norm_bias_c, second_bias_D, eps,
):  # fmt: skip
    """Logits from one of a position's four pixels, [TILE, 16] with columns (mask, k, l)."""
    EXACT: tl.constexpr = factors.dtype == tl.float32
    f = tl.arange(0, 128)
    c = tl.arange(0, 64)
    values = tl.load(values_BFN + b * 32768 + f[:, None] * 256 + g * 64 + c[None, :])
    x = tl.load(x_PN + position[:, None] * 256 + g * 64 + c[None, :], mask=is_shown[:, None], other=0.0)
    y = product(factors, values) + scale[:, None] * x.to(tl.float32)
    # a vector along channels takes sixteen registers: it is loaded where it is used
    inverse_std = tl.rsqrt(tl.sum(y * y, 1) * (1.0 / 64) + eps)
    y = y * inverse_std[:, None] * tl.load(norm_weight_c + c)[None, :] + tl.load(norm_bias_c + c)[None, :]
    hidden = twice_gelu(y, EXACT).to(factors.dtype)
    y = product(hidden, second_a) + tl.load(second_bias_D + c)[None, :]
    logits = product(twice_gelu(y, EXACT).to(factors.dtype), hyper_a)
    y = product(hidden, second_b) + tl.load(second_bias_D + 64 + c)[None, :]
    return logits + product(twice_gelu(y, EXACT).to(factors.dtype), hyper_b)


@triton.jit(do_not_specialize=["rows", "columns"])
def upscale_kernel(  # type: ignore[no-untyped-def]
    factors_BPF,
    scale_BP,  # float32
    x_PN,
    values_BFN,
    hyper_BDK,
    second_cD,
    second_bias_D,  # float32
    norm_weight_c,
    norm_bias_c,
    out_BMLM,
    rows,
    columns,
    grid_columns,
    positions,  # P
    eps,
    MASKS: tl.constexpr,
    TILE: tl.constexpr,
):
    b = tl.program_id(1).to(tl.int64)
    f = tl.arange(0, 128)
    c = tl.arange(0, 64)
    k = tl.arange(0, 16)
    # these stay in shared memory; in halves, for fewer registers
    second_at = c[:, None] * 128 + c[None, :]
    second_a, second_b = tl.load(second_cD + second_at), tl.load(second_cD + 64 + second_at)
    hyper_at = b * 2048 + c[:, None] * 16 + k[None, :]
    hyper_a, hyper_b = tl.load(hyper_BDK + hyper_at), tl.load(hyper_BDK + 1024 + hyper_at)
    place = tl.program_id(0) * TILE + tl.arange(0, TILE)
    is_shown = place < rows * columns
    row = place // columns
    column = place - row * columns
    position = row * grid_columns + column
    source = factors_BPF + (b * positions + position[:, None]) * 128 + f[None, :]
    factors = tl.load(source, mask=is_shown[:, None], other=0.0)
    scale = tl.load(scale_BP + b * positions + position, mask=is_shown, other=1.0)
    plane = 16 * rows * columns
    for g in range(4):
        logits = pixel_logits(
            factors, scale, position, is_shown, b, g, x_PN, values_BFN, second_a, second_b, hyper_a, hyper_b,
            norm_weight_c, norm_bias_c, second_bias_D, eps,
        )  # fmt: skip
        # g is (i, j), k is (mask, k, l): the pixel is at 4 row + 2 i + k, 4 column + 2 j + l
        line = 4 * row[:, None] + 2 * (g // 2) + (k // 2 % 2)[None, :]
        at = (k // 4 * plane)[None, :] + line * (4 * columns)
        at += 4 * column[:, None] + 2 * (g % 2) + (k % 2)[None, :]
        tl.store(
            out_BMLM + b * MASKS * plane + at,
            logits.to(out_BMLM.dtype.element_ty),
            mask=(k < 4 * MASKS)[None, :] & is_shown[:, None],
        )


@torch.inference_mode()
def drawn(
    side: FusedSide,
    prompts: FusedPrompts,
    grid: tuple[int, int],
    positions: tuple[int, int],
    out_BMLM: torch.Tensor,
) -> None:
    """Logits of all masks, written to `out`, contiguous [B, M, 4 rows, 4 columns], float32 or float16.

    grid: rows and columns of the embedding; positions: how many of them show the image.
    """
    (rows, columns), (B, M) = positions, out_BMLM.shape[:2]
    if out_BMLM.shape[2:] != (4 * rows, 4 * columns) or not out_BMLM.is_contiguous():
        raise ValueError(f"logits over {rows} x {columns} positions do not fit {tuple(out_BMLM.shape)}")
    weights, tuning = side.upscaling, TUNING[side.dtype]
    upscale_kernel[(triton.cdiv(rows * columns, tuning.tile), B)](
        prompts.factors_BPF, prompts.scale_BP, side.upscaling_PN, prompts.values_BFN, prompts.hyper_BDK,
        weights.second_cD, weights.second_bias_D, weights.norm_weight_c, weights.norm_bias_c, out_BMLM,
        rows, columns, grid[1], prompts.scale_BP.shape[1], weights.norm_eps, MASKS=M, TILE=tuning.tile,
        num_warps=tuning.warps, num_stages=1, maxnreg=None if INTERPRETED else tuning.registers,
    )  # fmt: skip
