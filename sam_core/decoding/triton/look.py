"""The tokens' attention to image tokens in factors: one pass over the positions of a prompt.

A score is s (q . x W) + A (q . U W) + q . c W, where x and c belong to the image and A, s and U to a prompt
(image_tokens.py). The result is three sums over the positions, weighted by the softmax: of A, of s (x W), and
of 1. From them token_products.seen_values computes what a token sees.

The positions are split among programs until they fill the device; the parts are combined afterwards.

A program may have two prompts, to read the image's data once for both. Their rows are stacked, and their
factors are side by side. Products of one's rows with the other's factors are computed too: they are 0 in the
scores, as the mix is 0 there, and are not stored.

Oracle: the sums of `image_tokens.projected_sum` with the weights of `projected_scores`.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from sam_core.decoding.triton.head_rows import (
    HEAD_DIM,
    ROWS,
    SCORE_SCALE,
    block_diagonal,
    position_rows,
)
from sam_core.decoding.triton.image_side_maps import LookSide
from sam_core.decoding.triton.token_products import LookSums
from sam_core.decoding.triton.two_halves import product
from sam_core.model.triton.device import Kind, kind_of

# tuned on an H100: two programs on each of its 132 processors, and at least this many positions per program
PROGRAMS, LEAST_POSITIONS = 264, 256


@dataclass(frozen=True)
class LookTuning:
    """How a program loops over its positions."""

    tile: int
    warps: int
    stages: int
    prompts: int = 1  # of a program, 1 or 2; 2 has not been measured yet


# the first tuned on an H100, the others chosen for few spills, without a card
TUNING = {
    (Kind.WARP_GROUPS, torch.float16): LookTuning(tile=32, warps=4, stages=2),
    (Kind.WARP_GROUPS, torch.float32): LookTuning(tile=32, warps=4, stages=1),
    (Kind.WARPS, torch.float16): LookTuning(tile=32, warps=8, stages=2),
}


@triton.jit(do_not_specialize=["B"])
def look_kernel(  # type: ignore[no-untyped-def]
    key_PD,
    key_constant_PD,
    value_PD,
    query_BTD,  # of the tokens, times SCORE_SCALE
    mix_BRF,  # [B, 64, F]
    factors_BPF,
    scale_BP,  # float32
    most_BSR,  # out: float32 [B, splits, 64], the largest score
    total_BSR,  # out: likewise, the weights' sum
    mixed_BSRF,  # out: float32 [B, splits, 64, F], the sum of A
    shared_BSRd,  # out: float32 [B, splits, 64, 16], the sum of s (x W)
    B,  # at least PROMPTS
    P: tl.constexpr,
    STEPS: tl.constexpr,  # tiles of a split
    F: tl.constexpr,
    TILE: tl.constexpr,
    PROMPTS: tl.constexpr,
):
    b = tl.program_id(1).to(tl.int64) * PROMPTS
    if PROMPTS == 2:
        b = tl.minimum(b, B - 2)  # of an odd number, the last program repeats a prompt
    split = tl.program_id(0)
    r = tl.arange(0, 64 * PROMPTS)
    f = tl.arange(0, F * PROMPTS)
    j = tl.arange(0, 128)
    columns = f // F * (P * F) + f % F  # of the first prompt's factors, then of the second's
    is_own_factor = (f // F)[None, :] == (r // 64)[:, None]
    query = block_diagonal(query_BTD, b, 0, 128, PROMPTS)
    mix = mix_BRF + b * (64 * F) + r[:, None] * F + (f % F)[None, :]
    mix = tl.load(mix, mask=is_own_factor, other=0.0)
    most = tl.full((64 * PROMPTS,), -1e30, tl.float32)
    total = tl.zeros((64 * PROMPTS,), tl.float32)
    mixed = tl.zeros((64 * PROMPTS, F * PROMPTS), tl.float32)
    shared = tl.zeros((64 * PROMPTS, 128), tl.float32)
    for step in range(STEPS):
        position = (split * STEPS + step) * TILE + tl.arange(0, TILE)
        factors = tl.load(factors_BPF + (b * P + position[:, None]) * F + columns[None, :])
        scale = tl.load(scale_BP + b * P + position)[None, :]
        if PROMPTS == 2:
            scale = tl.where(r[:, None] < 64, scale, tl.load(scale_BP + b * P + P + position)[None, :])
        scores = product(query, tl.trans(position_rows(key_PD, position))) * scale
        scores = product(mix, tl.trans(factors), scores)
        scores = product(query, tl.trans(position_rows(key_constant_PD, position)), scores)
        new_most = tl.maximum(most, tl.max(scores, 1))
        weights = tl.exp2(scores - new_most[:, None])
        shrink = tl.exp2(most - new_most)
        total = total * shrink + tl.sum(weights, 1)
        mixed = product(weights.to(factors.dtype), factors, mixed * shrink[:, None])
        value = position_rows(value_PD, position)
        shared = product((weights * scale).to(value.dtype), value, shared * shrink[:, None])
        most = new_most
    first = (b * tl.num_programs(0) + split) * 64
    at = r // 64 * (tl.num_programs(0) * 64) + r % 64
    tl.store(most_BSR + first + at, most)
    tl.store(total_BSR + first + at, total)
    tl.store(mixed_BSRF + first * F + at[:, None] * F + (f % F)[None, :], mixed, mask=is_own_factor)
    is_own = (j // 16)[None, :] == (r % 64 // 8)[:, None]
    tl.store(shared_BSRd + first * 16 + at[:, None] * 16 + (j % 16)[None, :], shared, mask=is_own)


def look(
    side: LookSide,
    query_BTD: torch.Tensor,
    mix_BRF: torch.Tensor,
    factors_BPF: torch.Tensor,
    scale_BP: torch.Tensor,
) -> LookSums:
    """The sums of one look of B prompts' tokens.

    query: float32 [B, 7, 128]; mix: [B, 64, F]; factors: [B, P, F], F = 64 or 128; scale: float32 [B, P].
    The side, the mix and the factors are of one type.
    """
    B, P, F = factors_BPF.shape
    splits, tuning = _splits(B, P), TUNING[kind_of(scale_BP.device), factors_BPF.dtype]
    most_BSR, total_BSR = scale_BP.new_empty(2, B, splits, ROWS)
    mixed_BSRF = scale_BP.new_empty(B, splits, ROWS, F)
    shared_BSRd = scale_BP.new_empty(B, splits, ROWS, HEAD_DIM)
    # scaled and rounded before the launch: data that a program only loads stays in shared memory for its
    # products, while data that it computes is read into registers again for each
    query_BTD = (query_BTD * SCORE_SCALE).to(factors_BPF.dtype)
    prompts = min(tuning.prompts, B)
    look_kernel[(splits, triton.cdiv(B, prompts))](
        side.key_PD, side.key_constant_PD, side.value_PD, query_BTD, mix_BRF, factors_BPF, scale_BP,
        most_BSR, total_BSR, mixed_BSRF, shared_BSRd, B,
        P=P, STEPS=P // tuning.tile // splits, F=F, TILE=tuning.tile, PROMPTS=prompts,
        num_warps=tuning.warps, num_stages=tuning.stages,
    )  # fmt: skip
    if splits == 1:
        return LookSums(total_BSR[:, 0], mixed_BSRF[:, 0], shared_BSRd[:, 0])
    share_BSR = torch.exp2(most_BSR - most_BSR.amax(1, keepdim=True))
    share_BSR1 = share_BSR[..., None]
    return LookSums(
        (share_BSR * total_BSR).sum(1), (mixed_BSRF * share_BSR1).sum(1), (shared_BSRd * share_BSR1).sum(1)
    )


def _splits(B: int, P: int) -> int:
    """The number of parts to split the positions into: a power of two, so that P and tiles divide evenly."""
    splits = 1
    while B * splits < PROGRAMS and P // (2 * splits) >= LEAST_POSITIONS and P % (128 * splits) == 0:
        splits *= 2
    return splits
