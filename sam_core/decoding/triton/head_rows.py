"""How the decoder's kernels hold a prompt's tokens: eight rows a head, block-diagonal over the heads.

A prompt has T = 7 tokens of h = 8 heads of d = 16 channels. A head's eighth row is padding, which makes 64
rows r = 8 head + token. To multiply these rows with data that all prompts share, they form a matrix [64, 128]
that is zero outside a head's own 16 columns. This needs eight times the arithmetic of eight products of 16
channels, but it is one product on the tensor cores and nothing is rearranged. The matrix is never stored: a
program loads it from the tokens [B, 7, 128] as a linear layer writes them.
"""

import math

import triton
import triton.language as tl

HEADS, HEAD_DIM, TOKENS = 8, 16, 7
ROWS, INNER_DIM = HEADS * (TOKENS + 1), HEADS * HEAD_DIM  # 64, 128: the kernels' literals

# factor for queries and keys: attention's 1 / sqrt(d), for a softmax in powers of two
SCORE_SCALE = HEAD_DIM**-0.5 / math.log(2)


@triton.jit
def block_diagonal(  # type: ignore[no-untyped-def]
    tokens_BTD, b, first, WIDTH: tl.constexpr, PROMPTS: tl.constexpr = 1
):
    """The rows of PROMPTS prompts from b on, in the columns from `first` on, [64 PROMPTS, WIDTH]."""
    r = tl.arange(0, 64 * PROMPTS)[:, None]
    j = first + tl.arange(0, WIDTH)[None, :]
    is_own = (j // 16 == r % 64 // 8) & (r % 8 < 7)
    return tl.load(tokens_BTD + ((b + r // 64) * 7 + r % 8) * 128 + j, mask=is_own, other=0.0)


@triton.jit
def block_diagonal_transposed(tokens_BTD, b):  # type: ignore[no-untyped-def]
    """Prompt b's rows as columns, [128, 64]."""
    r = tl.arange(0, 64)[None, :]
    j = tl.arange(0, 128)[:, None]
    is_own = (j // 16 == r // 8) & (r % 8 < 7)
    return tl.load(tokens_BTD + (b * 7 + r % 8) * 128 + j, mask=is_own, other=0.0)


@triton.jit
def position_rows(x_PD, position):  # type: ignore[no-untyped-def]
    """The rows of these positions, [TILE, 128]."""
    return tl.load(x_PD + position[:, None] * 128 + tl.arange(0, 128)[None, :])
