"""The tokens' first attention to the image, which is still the same for all prompts.

softmax(q k) v of N = 7 B tokens a head over P positions, in one pass with a running maximum. These scores
are large and sharp, so q k uses three tf32 products in every precision (a single one would cost up to 5e-3 in
predicted IoU).

Oracle: `image_tokens.attended`.
"""

import torch
import triton
import triton.language as tl

from sam_core.decoding.triton.head_rows import INNER_DIM
from sam_core.decoding.triton.two_halves import product

# tuned on an H100
TILE_N, TILE, WARPS, STAGES = 64, 128, 4, 2


@triton.jit(do_not_specialize=["N"])
def first_look_kernel(  # type: ignore[no-untyped-def]
    query_hND,  # float32, for powers of two
    key_hPD,  # float32
    value_hPD,
    seen_ND,  # out: float32, the heads side by side
    N,
    P: tl.constexpr,
    TILE_N: tl.constexpr,
    TILE: tl.constexpr,
):
    head = tl.program_id(1)
    d = tl.arange(0, 16)
    n = tl.program_id(0) * TILE_N + tl.arange(0, TILE_N)
    query = tl.load(query_hND + (head * N + n)[:, None] * 16 + d[None, :], mask=(n < N)[:, None], other=0.0)
    most = tl.full((TILE_N,), -1e30, tl.float32)
    total = tl.zeros((TILE_N,), tl.float32)
    sums = tl.zeros((TILE_N, 16), tl.float32)
    for start in range(0, P, TILE):
        position = head * P + start + tl.arange(0, TILE)
        key = tl.load(key_hPD + position[:, None] * 16 + d[None, :])
        value = tl.load(value_hPD + position[:, None] * 16 + d[None, :])
        scores = tl.dot(query, tl.trans(key), input_precision="tf32x3")
        new_most = tl.maximum(most, tl.max(scores, 1))
        weights = tl.exp2(scores - new_most[:, None])
        shrink = tl.exp2(most - new_most)
        total = total * shrink + tl.sum(weights, 1)
        sums = product(weights.to(value.dtype), value, sums * shrink[:, None])
        most = new_most
    out = seen_ND + n[:, None] * 128 + head * 16 + d[None, :]
    tl.store(out, sums / total[:, None], mask=(n < N)[:, None])


def first_look(query_hND: torch.Tensor, key_hPD: torch.Tensor, value_hPD: torch.Tensor) -> torch.Tensor:
    """What N tokens see, float32 [N, 128] with the heads side by side.

    query: float32 [8, N, 16], times SCORE_SCALE; key: float32 [8, P, 16], P a multiple of 128; value:
    likewise, float16 or float32.
    """
    heads, N, _ = query_hND.shape
    seen_ND = query_hND.new_empty(N, INNER_DIM)
    first_look_kernel[(triton.cdiv(N, TILE_N), heads)](
        query_hND, key_hPD, value_hPD, seen_ND, N,
        P=key_hPD.shape[1], TILE_N=TILE_N, TILE=TILE, num_warps=WARPS, num_stages=STAGES,
    )  # fmt: skip
    return seen_ND
