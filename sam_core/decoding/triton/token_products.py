"""Small products of a prompt's tokens, one program per prompt: 64 block-diagonal rows by a model's matrices.

Four kernels work on the rows that the blocks have added to the image tokens. `gram` multiplies them with each
other; `mix` with a prompt's queries or keys; `seen` computes what a token sees from the sums of a look
(look.py); `values` passes them through the first convolution of the upscaling. The matrices come from
token_maps.py. Products are near float32 whatever the output type.

Oracles: the products of `values_BRC` in `image_tokens.tokens_after_first`, `tokens_after_second`,
`projected_scores`, `projected_sum`, and in `upscaling.low_res_logits`.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from sam_core.decoding.triton.head_rows import (
    INNER_DIM,
    ROWS,
    SCORE_SCALE,
    TOKENS,
    block_diagonal,
)
from sam_core.decoding.triton.token_maps import TokenMap, TokenMaps
from sam_core.decoding.triton.two_halves import product

# not tuned on a card: for few registers and short compilation
WARPS, STAGES = 4, 1
# columns at a time: with 64, a thread spills up to 2.5 KB on an A100
PART = tl.constexpr(32)


@dataclass(frozen=True)
class AddedValues:
    """The values of the tokens that the image has attended to so far, float32 [B, 7, 128] a block."""

    first_BTD: torch.Tensor
    second_BTD: torch.Tensor | None = None

    @property
    def rows(self) -> int:
        """F, the rows of both blocks."""
        return ROWS if self.second_BTD is None else 2 * ROWS


@dataclass(frozen=True)
class LookSums:
    """Sums over all positions of one softmax's weights times three things, float32."""

    total_BR: torch.Tensor  # 1
    mixed_BRF: torch.Tensor  # the factors
    shared_BRd: torch.Tensor  # the image's own values, scaled


@triton.jit
def mapped(tokens_BTD, b, map_ND, first):  # type: ignore[no-untyped-def]
    """The rows of prompt b through PART columns of a map, from `first` on: [64, PART]."""
    n = first + tl.arange(0, PART)
    k = tl.arange(0, PART)
    total = tl.zeros((64, PART), tl.float32)
    for part in range(0, 128, PART):
        weights = tl.load(map_ND + n[None, :] * 128 + part + k[:, None])
        total += product(block_diagonal(tokens_BTD, b, part, PART), weights)
    return total


@triton.jit
def crossed(left_BTD, right_BTD, b, map_DD):  # type: ignore[no-untyped-def]
    """The left rows through a map, times the right rows, [64, 64]."""
    total = tl.zeros((64, 64), tl.float32)
    for first in range(0, 128, PART):
        right = block_diagonal(right_BTD, b, first, PART)
        total += product(mapped(left_BTD, b, map_DD, first), tl.trans(right))
    return total


@triton.jit
def gram_kernel(  # type: ignore[no-untyped-def]
    value0_BTD,
    value1_BTD,
    gram00_DD,
    gram10_DD,
    gram11_DD,
    shift_gram0_D,
    shift_gram1_D,
    shift_square_1,
    gram_BFF,  # out: after block 1 only the part that is read, without the upper right quarter
    TWO: tl.constexpr,
):
    b = tl.program_id(0).to(tl.int64)
    r = tl.arange(0, 64)
    j = tl.arange(0, 128)
    rows, columns = r[:, None], r[None, :]
    gram = crossed(value0_BTD, value0_BTD, b, gram00_DD)
    if TWO:
        with_shift = tl.sum(block_diagonal(value0_BTD, b, 0, 128) * tl.load(shift_gram0_D + j)[None, :], 1)
        gram = tl.where(rows == 7, with_shift[None, :], gram)
        gram = tl.where(columns == 7, with_shift[:, None], gram)
        gram = tl.where((rows == 7) & (columns == 7), tl.load(shift_square_1), gram)
        out = gram_BFF + b * 16384 + rows * 128 + columns
        tl.store(out, gram.to(gram_BFF.dtype.element_ty))
        gram = crossed(value1_BTD, value0_BTD, b, gram10_DD)
        with_shift = tl.sum(block_diagonal(value1_BTD, b, 0, 128) * tl.load(shift_gram1_D + j)[None, :], 1)
        tl.store(
            out + 64 * 128, tl.where(columns == 7, with_shift[:, None], gram).to(gram_BFF.dtype.element_ty)
        )
        gram = crossed(value1_BTD, value1_BTD, b, gram11_DD)
        tl.store(out + 64 * 128 + 64, gram.to(gram_BFF.dtype.element_ty))
    else:
        tl.store(gram_BFF + b * 4096 + rows * 64 + columns, gram.to(gram_BFF.dtype.element_ty))


@triton.jit
def mix_kernel(  # type: ignore[no-untyped-def]
    query_BTD,
    value0_BTD,
    value1_BTD,
    map0_ND,
    map1_ND,
    shift_N,
    mix_BRF,  # out
    score_scale,
    TWO: tl.constexpr,
):
    b = tl.program_id(0).to(tl.int64)
    r, c = tl.arange(0, 64), tl.arange(0, PART)
    F: tl.constexpr = 128 if TWO else 64
    at = b * (64 * F) + r[:, None] * F + r[None, :]
    mix = tl.zeros((64, 64), tl.float32)
    for first in range(0, 128, PART):
        keys = mapped(value0_BTD, b, map0_ND, first)
        if TWO:
            keys = tl.where((r == 7)[:, None], tl.load(shift_N + first + c)[None, :], keys)
        query = block_diagonal(query_BTD, b, first, PART) * score_scale
        mix += product(query, tl.trans(keys))
    tl.store(mix_BRF + at, mix.to(mix_BRF.dtype.element_ty))
    if TWO:
        mix = tl.zeros((64, 64), tl.float32)
        for first in range(0, 128, PART):
            query = block_diagonal(query_BTD, b, first, PART) * score_scale
            mix += product(query, tl.trans(mapped(value1_BTD, b, map1_ND, first)))
        tl.store(mix_BRF + at + 64, mix.to(mix_BRF.dtype.element_ty))


@triton.jit
def seen_kernel(  # type: ignore[no-untyped-def]
    total_BR,
    mixed_BRF,
    shared_BRd,
    value0_BTD,
    value1_BTD,
    map0_ND,
    map1_ND,
    shift_N,
    constant_D,
    seen_BTD,  # out
    TWO: tl.constexpr,
):
    b = tl.program_id(0).to(tl.int64)
    r, c = tl.arange(0, 64), tl.arange(0, PART)
    rows, columns = r[:, None], r[None, :]
    F: tl.constexpr = 128 if TWO else 64
    # the weights sum to 1 from here on: the sums of thousands of positions do not fit float16
    share = (1.0 / tl.load(total_BR + b * 64 + r))[:, None]
    mixed = mixed_BRF + b * (64 * F) + rows * F + columns
    for first in range(0, 128, PART):
        values = mapped(value0_BTD, b, map0_ND, first)
        if TWO:
            values = tl.where(rows == 7, tl.load(shift_N + first + c)[None, :], values)
        seen = product(tl.load(mixed) * share, values)
        if TWO:
            seen += product(tl.load(mixed + 64) * share, mapped(value1_BTD, b, map1_ND, first))
        j = first + c[None, :]
        is_own = (j // 16 == rows // 8) & (rows % 8 < 7)
        shared = tl.load(shared_BRd + b * 1024 + rows * 16 + j % 16, mask=is_own, other=0.0)
        seen += shared * share + tl.load(constant_D + j)
        tl.store(seen_BTD + (b * 7 + rows % 8) * 128 + j, seen, mask=is_own)


@triton.jit
def values_kernel(  # type: ignore[no-untyped-def]
    value0_BTD, value1_BTD, map0_ND, map1_ND, shift_N, constant_N, values_BFN
):
    b = tl.program_id(0).to(tl.int64)
    first = tl.program_id(1) * PART
    rows = tl.arange(0, 64)[:, None]
    n = first + tl.arange(0, PART)
    values = mapped(value0_BTD, b, map0_ND, first)
    values = tl.where(rows == 7, tl.load(shift_N + n)[None, :], values)
    values = tl.where(rows == 15, tl.load(constant_N + n)[None, :], values)
    out = values_BFN + b * 32768 + rows * 256 + n[None, :]
    tl.store(out, values.to(values_BFN.dtype.element_ty))
    values = mapped(value1_BTD, b, map1_ND, first)
    tl.store(out + 64 * 256, values.to(values_BFN.dtype.element_ty))


def gram(values: AddedValues, maps: TokenMaps, dtype: torch.dtype) -> torch.Tensor:
    """Products of the added rows with each other, [B, F, F].

    With two blocks the upper right quarter is not written: it is the transpose of the lower left one, and
    nothing reads it.
    """
    value0, value1 = values.first_BTD, values.second_BTD
    B, F = len(value0), values.rows
    gram_BFF = value0.new_empty(B, F, F, dtype=dtype)
    gram_kernel[(B,)](
        value0, value0 if value1 is None else value1, maps.gram0_DD if value1 is None else maps.gram00_DD,
        maps.gram10_DD, maps.gram11_DD, maps.shift_gram0_D, maps.shift_gram1_D, maps.shift_square_1, gram_BFF,
        TWO=value1 is not None, num_warps=WARPS, num_stages=STAGES,
    )  # fmt: skip
    return gram_BFF


def mix(query_BTD: torch.Tensor, values: AddedValues, map_: TokenMap, dtype: torch.dtype) -> torch.Tensor:
    """Scores of queries or keys, float32 [B, 7, 128], with the mapped values; times SCORE_SCALE.

    Gives [B, 64, F] of `dtype`.
    """
    B, F = len(query_BTD), values.rows
    mix_BRF = query_BTD.new_empty(B, ROWS, F, dtype=dtype)
    mix_kernel[(B,)](
        query_BTD, *_pair(values.first_BTD, values.second_BTD), *_pair(map_.first_ND, map_.second_ND),
        _shift(map_), mix_BRF, SCORE_SCALE, TWO=F > ROWS, num_warps=WARPS, num_stages=STAGES,
    )  # fmt: skip
    return mix_BRF


def seen_values(
    sums: LookSums, values: AddedValues, map_: TokenMap, constant_D: torch.Tensor
) -> torch.Tensor:
    """What the tokens of B prompts see of the image, float32 [B, 7, 128] with the heads side by side."""
    B = len(sums.total_BR)
    seen_BTD = sums.total_BR.new_empty(B, TOKENS, INNER_DIM)
    seen_kernel[(B,)](
        sums.total_BR, sums.mixed_BRF, sums.shared_BRd, *_pair(values.first_BTD, values.second_BTD),
        *_pair(map_.first_ND, map_.second_ND), _shift(map_), constant_D, seen_BTD,
        TWO=values.second_BTD is not None, num_warps=WARPS, num_stages=STAGES,
    )  # fmt: skip
    return seen_BTD


def upscaling_values(values: AddedValues, maps: TokenMaps, dtype: torch.dtype) -> torch.Tensor:
    """The values of both blocks through the first convolution, [B, 128, 256].

    Row 7 is the shift, row 15 the constant that the convolution adds.
    """
    B, map_ = len(values.first_BTD), maps.upscaling
    values_BFN = values.first_BTD.new_empty(B, 2 * ROWS, 2 * INNER_DIM, dtype=dtype)
    values_kernel[(B, 256 // PART.value)](
        *_pair(values.first_BTD, values.second_BTD), *_pair(map_.first_ND, map_.second_ND),
        _shift(map_), maps.upscaling_constant_N, values_BFN, num_warps=WARPS, num_stages=STAGES,
    )  # fmt: skip
    return values_BFN


def _pair(first: torch.Tensor, second: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Both; without a second, the first again, which is not read."""
    return first, first if second is None else second


def _shift(map_: TokenMap) -> torch.Tensor:
    return map_.first_ND if map_.shift_N is None else map_.shift_N
