"""The image's attention to the tokens: what the positions become after each block, stored as factors.

A position's image tokens are s x + A U, as in decoding/image_tokens.py: A holds its softmax weights over the
tokens of each head, s makes their variance 1, and U belongs to the prompt. For tiles of positions of one
prompt a kernel computes A (times s) and s (float32). The variance needs x . U and U Uᵀ, the `gram`, but never
U itself. Everything except scales, norms and the tokens' own data has one type, float16 or float32.

The eighth row of a head is padding with factor 0. After block 1 two of these rows are used: row 7 of block 0
is what block 1 adds everywhere, with factor s, and row 15 has factor 1, for the constant of the upscaling.

Oracles: `image_tokens.tokens_after_first` and `tokens_after_second`.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from sam_core.decoding.triton.head_rows import ROWS, SCORE_SCALE, block_diagonal_transposed, position_rows
from sam_core.decoding.triton.image_side_maps import FusedSide
from sam_core.decoding.triton.token_products import AddedValues
from sam_core.decoding.triton.two_halves import product
from sam_core.model.triton.device import Kind, kind_of


@dataclass(frozen=True)
class PositionsTuning:
    """How a program loops over its positions."""

    tile: int
    tiles: int
    warps: int
    stages_first: int
    stages_second: int


# the first tuned on an H100, the others chosen without a card: for few spills, and 99 KB of shared memory
TUNING = {
    (Kind.WARP_GROUPS, torch.float16): PositionsTuning(64, tiles=4, warps=4, stages_first=2, stages_second=1),
    (Kind.WARP_GROUPS, torch.float32): PositionsTuning(
        128, tiles=1, warps=8, stages_first=1, stages_second=1
    ),
    (Kind.WARPS, torch.float16): PositionsTuning(32, tiles=8, warps=4, stages_first=2, stages_second=1),
}


@triton.jit
def softmax_of_eights(scores, TILE: tl.constexpr):  # type: ignore[no-untyped-def]
    """Softmax to the base of 2 over each head's seven tokens; the eighth gets 0."""
    x = tl.reshape(scores, (TILE, 8, 8))
    is_token = tl.arange(0, 8)[None, None, :] < 7
    x = tl.where(is_token, x, -1e30)
    x = tl.where(is_token, tl.exp2(x - tl.max(x, 2, keep_dims=True)), 0.0)
    x = x * (1.0 / tl.sum(x, 2, keep_dims=True))
    return tl.reshape(x, (TILE, 64))


@triton.jit
def positions0_kernel(  # type: ignore[no-untyped-def]
    query_PD,
    x_out_PD,
    square_P,  # float32
    key_BTD,  # float32, of the tokens
    value_BTD,
    gram_BRR,  # [B, 64, 64]
    factors_BPR,  # out: [B, P, 64]
    scale_BP,  # out: float32
    score_scale,
    eps,
    P: tl.constexpr,
    TILE: tl.constexpr,
    TILES: tl.constexpr,
):
    b = tl.program_id(1).to(tl.int64)
    r = tl.arange(0, 64)
    key = (block_diagonal_transposed(key_BTD, b) * score_scale).to(query_PD.dtype.element_ty)
    value = (block_diagonal_transposed(value_BTD, b) * 2.0).to(query_PD.dtype.element_ty)
    gram = tl.load(gram_BRR + b * 4096 + r[:, None] * 64 + r[None, :])
    for tile in range(TILES):
        position = (tl.program_id(0) * TILES + tile) * TILE + tl.arange(0, TILE)
        weights = softmax_of_eights(product(position_rows(query_PD, position), key), TILE)
        crossed = product(position_rows(x_out_PD, position), value)
        crossed = product(weights.to(gram.dtype), gram, crossed)
        square = tl.sum(crossed * weights, 1) + tl.load(square_P + position)
        scale = tl.rsqrt(square * (1.0 / 256) + eps)
        out = factors_BPR + (b * P + position[:, None]) * 64 + r[None, :]
        tl.store(out, (weights * scale[:, None]).to(factors_BPR.dtype.element_ty))
        tl.store(scale_BP + b * P + position, scale)


@triton.jit
def positions1_kernel(  # type: ignore[no-untyped-def]
    query_PD,
    query_constant_PD,
    x_gain_out0_PD,
    x_out1_PD,
    square_P,  # float32
    x_shift_P,
    key_BTD,  # float32, of the tokens in block 1
    value0_BTD,  # of the tokens in block 0
    value1_BTD,
    mix_BRR,  # [B, 64, 64]: keys by what block 0 added
    gram_BFF,  # [B, 128, 128]
    factors0_BPR,  # [B, P, 64]
    scale0_BP,  # float32
    factors_BPF,  # out: [B, P, 128]
    scale_BP,  # out: float32
    score_scale,
    eps,
    P: tl.constexpr,
    TILE: tl.constexpr,
    TILES: tl.constexpr,
):
    b = tl.program_id(1).to(tl.int64)
    r = tl.arange(0, 64)
    rows, columns = r[:, None], r[None, :]
    key = (block_diagonal_transposed(key_BTD, b) * score_scale).to(query_PD.dtype.element_ty)
    value0 = (block_diagonal_transposed(value0_BTD, b) * 2.0).to(query_PD.dtype.element_ty)
    value1 = (block_diagonal_transposed(value1_BTD, b) * 2.0).to(query_PD.dtype.element_ty)
    mix_transposed = tl.load(mix_BRR + b * 4096 + columns * 64 + rows)
    gram = gram_BFF + b * 16384 + rows * 128 + columns
    gram00, gram10, gram11 = tl.load(gram), tl.load(gram + 64 * 128), tl.load(gram + 64 * 128 + 64)
    for tile in range(TILES):
        position = (tl.program_id(0) * TILES + tile) * TILE + tl.arange(0, TILE)
        factors0 = tl.load(factors0_BPR + (b * P + position[:, None]) * 64 + columns)
        scale0 = tl.load(scale0_BP + b * P + position)[:, None]
        scores = product(position_rows(query_PD, position), key) * scale0
        scores = product(factors0, mix_transposed, scores)
        scores = product(position_rows(query_constant_PD, position), key, scores)
        weights = softmax_of_eights(scores, TILE)
        as_gram = weights.to(gram00.dtype)
        # row 7 is what block 1 adds everywhere
        factors = tl.where(columns == 7, 1.0, factors0.to(tl.float32))
        crossed = product(position_rows(x_gain_out0_PD, position), value0)
        x_shift = tl.load(x_shift_P + position)[:, None]
        crossed = (crossed + tl.where(columns == 7, 2.0 * x_shift, 0.0)) * scale0
        crossed = product(factors.to(gram00.dtype), gram00, crossed)
        # the gram is symmetric: doubling this quarter accounts for the other one
        crossed = product(as_gram + as_gram, gram10, crossed)
        square = tl.sum(crossed * factors, 1)
        crossed = product(position_rows(x_out1_PD, position), value1) * scale0
        crossed = product(as_gram, gram11, crossed)
        square += tl.sum(crossed * weights, 1)
        scale0 = tl.load(scale0_BP + b * P + position)
        square += scale0 * scale0 * tl.load(square_P + position)
        scale = tl.rsqrt(square * (1.0 / 256) + eps)
        out = factors_BPF + (b * P + position[:, None]) * 128 + columns
        tl.store(out, tl.where(columns == 15, 1.0, factors * scale[:, None]).to(factors_BPF.dtype.element_ty))
        tl.store(out + 64, (weights * scale[:, None]).to(factors_BPF.dtype.element_ty))
        tl.store(scale_BP + b * P + position, scale0 * scale)


def positions_after_first(
    side: FusedSide, key_BTD: torch.Tensor, value_BTD: torch.Tensor, gram_BRR: torch.Tensor, eps: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Factors [B, P, 64] and scale float32 [B, P] after block 0.

    key, value: the tokens' projections in that block, float32 [B, 7, 128]; gram: [B, 64, 64].
    """
    B, P = len(key_BTD), len(side.square0_P)
    tuning = TUNING[kind_of(key_BTD.device), gram_BRR.dtype]
    factors_BPR = key_BTD.new_empty(B, P, ROWS, dtype=gram_BRR.dtype)
    scale_BP = key_BTD.new_empty(B, P)
    positions0_kernel[(P // tuning.tile // tuning.tiles, B)](
        side.query0_PD, side.x_out0_PD, side.square0_P, key_BTD, value_BTD, gram_BRR, factors_BPR, scale_BP,
        SCORE_SCALE, eps, P=P, TILE=tuning.tile, TILES=tuning.tiles,
        num_warps=tuning.warps, num_stages=tuning.stages_first,
    )  # fmt: skip
    return factors_BPR, scale_BP


def positions_after_second(
    side: FusedSide,
    key_BTD: torch.Tensor,
    added: AddedValues,
    mix_BRR: torch.Tensor,
    gram_BFF: torch.Tensor,
    factors0_BPR: torch.Tensor,
    scale0_BP: torch.Tensor,
    eps: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Factors [B, P, 128] and scale float32 [B, P] after block 1, from the same after block 0.

    key: the tokens' projection in block 1, float32 [B, 7, 128]; added: the values of both blocks; mix:
    scores of the keys with what block 0 added, F = 64; gram: [B, 128, 128].
    """
    B, P, R = factors0_BPR.shape
    tuning = TUNING[kind_of(key_BTD.device), factors0_BPR.dtype]
    factors_BPF = factors0_BPR.new_empty(B, P, 2 * R)
    scale_BP = torch.empty_like(scale0_BP)
    positions1_kernel[(P // tuning.tile // tuning.tiles, B)](
        side.query1_PD, side.query1_constant_PD, side.x_gain_out0_PD, side.x_out1_PD, side.square1_P,
        side.x_shift1_P, key_BTD, added.first_BTD, added.second_BTD, mix_BRR, gram_BFF,
        factors0_BPR, scale0_BP, factors_BPF, scale_BP, SCORE_SCALE, eps,
        P=P, TILE=tuning.tile, TILES=tuning.tiles,
        num_warps=tuning.warps, num_stages=tuning.stages_second,
    )  # fmt: skip
    return factors_BPF, scale_BP
