"""The tokens' attention to image tokens in factors: one pass over the positions of a prompt.

A score is s (q . x W) + A (q . U W) + q . c W with x, c the image's and A, s, U a prompt's
(image_tokens.py). What comes back are three sums of the softmax's weights over the positions: of A, of s (x
W), and of 1; token_products.seen_values makes of them what a token sees.

Scores reach tens, which float16 knows to 2^-6 only. The accurate form has q, q U W and the image's keys each
as the sum of two float16; the quick one takes the first of each, twice as fast, and errs up to 8e-4 in
predicted IoU instead of 2.7e-4.

The positions are split among programs until they fill the device; the parts are put together afterwards.
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
from sam_core.decoding.triton.token_products import LookSums, Mix
from sam_core.decoding.triton.two_halves import halves

# tuned on an H100: two programs on each of its 132 processors, and no program with fewer positions than these
PROGRAMS, LEAST_POSITIONS = 264, 256
WARPS = 4


@dataclass(frozen=True)
class LookTuning:
    """How a look is taken; tuned on an H100."""

    is_accurate: bool
    tile: int
    stages: int


ACCURATE = LookTuning(is_accurate=True, tile=64, stages=1)
QUICK = LookTuning(is_accurate=False, tile=32, stages=2)


@triton.jit
def look_kernel(  # type: ignore[no-untyped-def]
    key_PD,  # float16
    key_constant_PD,
    value_PD,
    key_low_PD,  # what float16 left of the first two, read where ACCURATE
    key_constant_low_PD,
    query_BTD,  # float32, of the tokens
    mix_BRF,  # float16 [B, 64, F]
    mix_low_BRF,  # read where ACCURATE
    factors_BPF,  # float16
    scale_BP,  # float32
    most_BSR,  # out: float32 [B, splits, 64], the largest score
    total_BSR,  # out: likewise, the weights' sum
    mixed_BSRF,  # out: float32 [B, splits, 64, F], the sum of A
    shared_BSRd,  # out: float32 [B, splits, 64, 16], the sum of s (x W)
    score_scale,
    P: tl.constexpr,
    STEPS: tl.constexpr,  # tiles of a split
    ACCURATE: tl.constexpr,
    F: tl.constexpr,
    TILE: tl.constexpr,
):
    b = tl.program_id(1).to(tl.int64)
    split = tl.program_id(0)
    r = tl.arange(0, 64)
    f = tl.arange(0, F)
    j = tl.arange(0, 128)
    query, query_low = halves(block_diagonal(query_BTD, b, 0, 128) * score_scale)
    mix_at = b * (64 * F) + r[:, None] * F + f[None, :]
    mix = tl.load(mix_BRF + mix_at)
    if ACCURATE:
        mix_low = tl.load(mix_low_BRF + mix_at)
    most = tl.full((64,), -1e30, tl.float32)
    total = tl.zeros((64,), tl.float32)
    mixed = tl.zeros((64, F), tl.float32)
    shared = tl.zeros((64, 128), tl.float32)
    for step in range(STEPS):
        position = (split * STEPS + step) * TILE + tl.arange(0, TILE)
        factors = tl.load(factors_BPF + (b * P + position[:, None]) * F + f[None, :])
        scale = tl.load(scale_BP + b * P + position)[None, :]
        key = tl.trans(position_rows(key_PD, position))
        scores = tl.dot(query, key)
        if ACCURATE:
            scores = tl.dot(query_low, key, scores)
            scores = tl.dot(query, tl.trans(position_rows(key_low_PD, position)), scores)
        scores = tl.dot(mix, tl.trans(factors), scores * scale)
        key = tl.trans(position_rows(key_constant_PD, position))
        scores = tl.dot(query, key, scores)
        if ACCURATE:
            scores = tl.dot(mix_low, tl.trans(factors), scores)
            scores = tl.dot(query_low, key, scores)
            scores = tl.dot(query, tl.trans(position_rows(key_constant_low_PD, position)), scores)
        new_most = tl.maximum(most, tl.max(scores, 1))
        weights = tl.exp2(scores - new_most[:, None])
        shrink = tl.exp2(most - new_most)
        total = total * shrink + tl.sum(weights, 1)
        mixed = tl.dot(weights.to(tl.float16), factors, mixed * shrink[:, None])
        value = position_rows(value_PD, position)
        shared = tl.dot((weights * scale).to(tl.float16), value, shared * shrink[:, None])
        most = new_most
    at = (b * tl.num_programs(0) + split) * 64 + r
    tl.store(most_BSR + at, most)
    tl.store(total_BSR + at, total)
    tl.store(mixed_BSRF + at[:, None] * F + f[None, :], mixed)
    is_own = (j // 16)[None, :] == (r // 8)[:, None]
    tl.store(shared_BSRd + at[:, None] * 16 + (j % 16)[None, :], shared, mask=is_own)


def look(
    side: LookSide,
    query_BTD: torch.Tensor,
    mix: Mix,
    factors_BPF: torch.Tensor,
    scale_BP: torch.Tensor,
    tuning: LookTuning,
) -> LookSums:
    """The sums of one look of B prompts' tokens.

    query: float32 [B, 7, 128]; factors: float16 [B, P, 64 or 128]; scale: float32 [B, P].
    """
    B, P, F = factors_BPF.shape
    splits = _splits(B, P)
    most_BSR, total_BSR = scale_BP.new_empty(2, B, splits, ROWS)
    mixed_BSRF = scale_BP.new_empty(B, splits, ROWS, F)
    shared_BSRd = scale_BP.new_empty(B, splits, ROWS, HEAD_DIM)
    look_kernel[(splits, B)](
        side.key_PD, side.key_constant_PD, side.value_PD, side.key_low_PD, side.key_constant_low_PD,
        query_BTD, mix.high_BRF, mix.low_BRF, factors_BPF, scale_BP,
        most_BSR, total_BSR, mixed_BSRF, shared_BSRd, SCORE_SCALE,
        P=P, STEPS=P // tuning.tile // splits, ACCURATE=tuning.is_accurate, F=F, TILE=tuning.tile,
        num_warps=WARPS, num_stages=tuning.stages,
    )  # fmt: skip
    if splits == 1:
        return LookSums(total_BSR[:, 0], mixed_BSRF[:, 0], shared_BSRd[:, 0])
    share_BSR = torch.exp2(most_BSR - most_BSR.amax(1, keepdim=True))
    share_BSR1 = share_BSR[..., None]
    return LookSums(
        (share_BSR * total_BSR).sum(1), (mixed_BSRF * share_BSR1).sum(1), (shared_BSRd * share_BSR1).sum(1)
    )


def _splits(B: int, P: int) -> int:
    """Into how many parts the positions are split: powers of two, so that P and tiles divide evenly."""
    splits = 1
    while B * splits < PROGRAMS and P // (2 * splits) >= LEAST_POSITIONS and P % (128 * splits) == 0:
        splits *= 2
    return splits
