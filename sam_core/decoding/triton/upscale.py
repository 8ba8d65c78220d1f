"""From factors to mask logits in one kernel, with nothing written in between.

A program takes a tile of positions of one prompt. Each position becomes 2 x 2 pixels g of 64 channels (first
convolution: s x W + A (U W), LayerNorm, GELU), and each of these 2 x 2 pixels of 32 channels (second
convolution, GELU), which M <= 4 masks weigh. The four pixels of the second step are taken together, as 128
channels and a block-diagonal matrix of the masks' weights, in two halves to save registers.

`drawn` multiplies in float16 with sums in float32, and takes GELU's quick form: logits err by 0.009 (rms).
`drawn_exactly` reads the image tokens of `prompt_side.decoded_prompts`, takes erf, and has both sides of a
product in two float16 each (two_halves.py): they err by less than 1e-4.

Oracle: `upscaling.low_res_logits`.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from sam_core.decoding.image_side import ImageSide
from sam_core.decoding.image_tokens import ImageTokens
from sam_core.decoding.triton.fused_decoder import FusedPrompts
from sam_core.decoding.triton.gelu import twice_gelu
from sam_core.decoding.triton.image_side_maps import FusedSide
from sam_core.decoding.triton.two_halves import halves, in_two, product
from sam_core.decoding.triton.upscaling_weights import UpscalingWeights, mask_blocks
from sam_core.model.mask_decoder import MaskDecoder
from sam_core.model.triton.device import INTERPRETED


@dataclass(frozen=True)
class UpscaleTuning:
    """Tile of positions, warps and registers of a program."""

    tile: int
    warps: int
    registers: int


HALF = UpscaleTuning(tile=128, warps=8, registers=128)  # tuned on an H100
EXACT = UpscaleTuning(tile=64, warps=4, registers=255)  # without spills; not tuned on a card
FACTORS, NUMBERS = 128, 256  # rows of values, and columns: four pixels of 64 channels


@triton.jit
def pixel_logits(  # type: ignore[no-untyped-def]
    factors, factors_low, scale, position, is_shown, b, g, x_PN, values_BFN, values_low_BFN,
    second_a, second_b, second_a_low, second_b_low, hyper_a, hyper_b, hyper_a_low, hyper_b_low,
    norm_weight_c, norm_bias_c, second_bias_D, eps, EXACT: tl.constexpr,
):  # fmt: skip
    """Logits from one of a position's four pixels, [TILE, 16] with columns (mask, k, l)."""
    f = tl.arange(0, 128)
    c = tl.arange(0, 64)
    values_at = b * 32768 + f[:, None] * 256 + g * 64 + c[None, :]
    values = tl.load(values_BFN + values_at)
    values_low = tl.load(values_low_BFN + values_at) if EXACT else values
    x = tl.load(x_PN + position[:, None] * 256 + g * 64 + c[None, :], mask=is_shown[:, None], other=0.0)
    y = product(factors, factors_low, values, values_low, EXACT) + scale[:, None] * x.to(tl.float32)
    # what is added along channels takes sixteen registers a vector: it is read where it is used
    inverse_std = tl.rsqrt(tl.sum(y * y, 1) * (1.0 / 64) + eps)
    y = y * inverse_std[:, None] * tl.load(norm_weight_c + c)[None, :] + tl.load(norm_bias_c + c)[None, :]
    hidden, hidden_low = halves(twice_gelu(y, EXACT))
    y = product(hidden, hidden_low, second_a, second_a_low, EXACT) + tl.load(second_bias_D + c)[None, :]
    pixel, pixel_low = halves(twice_gelu(y, EXACT))
    logits = product(pixel, pixel_low, hyper_a, hyper_a_low, EXACT)
    y = product(hidden, hidden_low, second_b, second_b_low, EXACT) + tl.load(second_bias_D + 64 + c)[None, :]
    pixel, pixel_low = halves(twice_gelu(y, EXACT))
    return logits + product(pixel, pixel_low, hyper_b, hyper_b_low, EXACT)


@triton.jit(do_not_specialize=["rows", "columns"])
def upscale_kernel(  # type: ignore[no-untyped-def]
    factors_ptr,  # float16 [B, P, 128]; where EXACT float32 [B, R, P] with R < 128
    scale_BP,  # float32
    x_PN,  # float16; where EXACT float32
    values_BFN,  # float16
    values_low_BFN,  # what float16 left, here and below: read where EXACT
    hyper_BDK,
    hyper_low_BDK,
    second_cD,
    second_low_cD,
    second_bias_D,  # float32
    norm_weight_c,
    norm_bias_c,
    out_BMLM,
    rows,
    columns,
    grid_columns,
    factor_rows,  # R where EXACT; the next row of values is a constant, with factor 1
    positions,  # P
    eps,
    EXACT: tl.constexpr,
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
    second_a_low, second_b_low, hyper_a_low, hyper_b_low = second_a, second_b, hyper_a, hyper_b
    if EXACT:
        second_a_low, second_b_low = (
            tl.load(second_low_cD + second_at),
            tl.load(second_low_cD + 64 + second_at),
        )
        hyper_a_low, hyper_b_low = tl.load(hyper_low_BDK + hyper_at), tl.load(hyper_low_BDK + 1024 + hyper_at)
    place = tl.program_id(0) * TILE + tl.arange(0, TILE)
    is_shown = place < rows * columns
    row = place // columns
    column = place - row * columns
    position = row * grid_columns + column
    if EXACT:
        source = factors_ptr + b * factor_rows * positions + position[:, None] + f[None, :] * positions
        exact = tl.load(source, mask=is_shown[:, None] & (f < factor_rows)[None, :], other=0.0)
        factors, factors_low = halves(tl.where((f == factor_rows)[None, :], 1.0, exact))
    else:
        source = factors_ptr + (b * positions + position[:, None]) * 128 + f[None, :]
        factors = tl.load(source, mask=is_shown[:, None], other=0.0)
        factors_low = factors
    scale = tl.load(scale_BP + b * positions + position, mask=is_shown, other=1.0)
    plane = 16 * rows * columns
    for g in range(4):
        logits = pixel_logits(
            factors, factors_low, scale, position, is_shown, b, g, x_PN, values_BFN, values_low_BFN,
            second_a, second_b, second_a_low, second_b_low, hyper_a, hyper_b, hyper_a_low, hyper_b_low,
            norm_weight_c, norm_bias_c, second_bias_D, eps, EXACT,
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
    values, hyper = prompts.values_BFN, prompts.hyper_BDK
    _launch(
        prompts.factors_BPF, prompts.scale_BP, side.upscaling_PN, (values, values), (hyper, hyper),
        side.upscaling, grid, positions, out_BMLM, is_exact=False,
    )  # fmt: skip


@torch.inference_mode()
def drawn_exactly(
    decoder: MaskDecoder,
    side: ImageSide,
    tokens: ImageTokens,
    weights_BMc: torch.Tensor,
    grid: tuple[int, int],
    positions: tuple[int, int],
    out_BMLM: torch.Tensor,
) -> None:
    """As `drawn`, from what torch's decoder gives, in products near float32.

    tokens: of all B prompts, of a model that fused_decoder.serves; weights: `upscaling.mask_weights`.
    """
    B, R, _ = tokens.factors_BRP.shape
    values_BFN = tokens.values_BRC.new_zeros(B, FACTORS, NUMBERS)
    values_BFN[:, :R] = tokens.values_BRC @ side.upscaling.weight_CD
    values_BFN[:, R] = side.upscaling.constant_hdP.flatten()
    x_PN = side.upscaling.x_hdP.flatten(0, 1).T.contiguous()
    _launch(
        tokens.factors_BRP.contiguous(), tokens.scale_BP.contiguous(), x_PN, in_two(values_BFN),
        in_two(mask_blocks(weights_BMc)), UpscalingWeights.of(decoder), grid, positions, out_BMLM,
        is_exact=True,
    )  # fmt: skip


def _launch(
    factors: torch.Tensor,
    scale_BP: torch.Tensor,
    x_PN: torch.Tensor,
    values_BFN: tuple[torch.Tensor, torch.Tensor],
    hyper_BDK: tuple[torch.Tensor, torch.Tensor],
    weights: UpscalingWeights,
    grid: tuple[int, int],
    positions: tuple[int, int],
    out_BMLM: torch.Tensor,
    is_exact: bool,
) -> None:
    (rows, columns), (B, M) = positions, out_BMLM.shape[:2]
    if out_BMLM.shape[2:] != (4 * rows, 4 * columns) or not out_BMLM.is_contiguous():
        raise ValueError(f"logits over {rows} x {columns} positions do not fit {tuple(out_BMLM.shape)}")
    tuning = EXACT if is_exact else HALF
    upscale_kernel[(triton.cdiv(rows * columns, tuning.tile), B)](
        factors, scale_BP, x_PN, *values_BFN, *hyper_BDK, weights.second_cD, weights.second_low_cD,
        weights.second_bias_D, weights.norm_weight_c, weights.norm_bias_c, out_BMLM,
        rows, columns, grid[1], factors.shape[1], scale_BP.shape[1], weights.norm_eps,
        EXACT=is_exact, MASKS=M, TILE=tuning.tile,
        num_warps=tuning.warps, num_stages=1, maxnreg=None if INTERPRETED else tuning.registers,
    )  # fmt: skip
