"""Attention inside windows of S x S tokens, read from and written to the map's own layout.

No window is copied: a program finds the tokens of its window in the product of the whole map. For a place
outside the map it reads an extra row of that product, which holds the values of padding. Softmax is computed
online, a block of keys at a time. The position comes either from two vectors per query
(`relative_positions.window_terms`), which a one-hot matrix spreads over the keys in one more small product,
or from a bias for each head and pair of places. Oracle: `sam_core.model.attention.ViTAttention` and
`sam_core.model.tiny_vit.TinyViTAttention` between their two products.

Legend: B images, n heads of D channels, H x W tokens of a map, T = B H W, windows of P = S x S places.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from sam_core.model.triton.heads import Heads
from sam_core.model.triton.relative_positions import LOG2E, SMALLEST_TILE, keys_of_window

# Tuned on an H100: queries and keys of a tile.
QUERIES, KEYS = 64, 64
WARPS, STAGES = 4, 2


@triton.jit
def with_terms(score, terms, row, column, K: tl.constexpr):  # type: ignore[no-untyped-def]
    """Scores, with the queries' terms of the keys' rows and columns."""
    c = tl.arange(0, 2 * K)
    one_hot = (c[:, None] == row[None, :]) | ((c[:, None] - K) == column[None, :])
    # Not a cast of bools: it crashes Triton 3.2 on sm_80.
    return tl.dot(terms, tl.where(one_hot, 1.0, 0.0).to(tl.float16), score)


@triton.jit
def with_bias(score, bias, i, j, P: tl.constexpr, K: tl.constexpr):  # type: ignore[no-untyped-def]
    """Scores, with the bias [P, K] of places i and j."""
    at = bias + i[:, None] * K + j[None, :]
    return score + tl.load(at, mask=(i < P)[:, None] & (j < P)[None, :], other=0.0)


@triton.jit
def window_keys(  # type: ignore[no-untyped-def]
    base, position, q1, q2, acc1, acc2, biggest, total, start, i, top, left, image, head, H, W, pad,
    token_stride, part_stride, scale,
    S: tl.constexpr, D: tl.constexpr, D1: tl.constexpr, D2: tl.constexpr, K: tl.constexpr,
    DENSE: tl.constexpr, N: tl.constexpr, LAST: tl.constexpr,
):  # fmt: skip
    """N more keys of a window, from `start` on; with LAST they may extend past its end.

    position: the queries' terms, or with DENSE the bias of all heads.
    """
    P: tl.constexpr = S * S
    j = start + tl.arange(0, N)
    d1 = tl.arange(0, D1)
    row = j // S
    column = j % S
    on_map = (top + row < H) & (left + column < W)
    if LAST:
        on_map = on_map & (j < P)
    key = tl.where(on_map, (image * H + top + row) * W + left + column, pad).to(tl.int64)
    keys = base + part_stride + key[:, None] * token_stride
    k1 = tl.load(keys + d1[None, :], mask=(d1 < D)[None, :], other=0.0)
    score = tl.dot(q1, tl.trans(k1))
    if D2 > 0:
        d2 = D1 + tl.arange(0, D2)
        k2 = tl.load(keys + d2[None, :], mask=(d2 < D)[None, :], other=0.0)
        score = tl.dot(q2, tl.trans(k2), score)
    if not DENSE:
        score = with_terms(score, position, row, column, K)
    score = score * scale
    if DENSE:
        score = with_bias(score, position + head * (P * K), i, j, P, K)
    if LAST:
        score = tl.where((j < P)[None, :], score, -float("inf"))
    new_biggest = tl.maximum(biggest, tl.max(score, 1))
    part = tl.exp2(score - new_biggest[:, None])
    shrink = tl.exp2(biggest - new_biggest)
    total = total * shrink + tl.sum(part, 1)
    values = keys + part_stride
    v1 = tl.load(values + d1[None, :], mask=(d1 < D)[None, :], other=0.0)
    part = part.to(v1.dtype)
    acc1 = tl.dot(part, v1, acc1 * shrink[:, None])
    if D2 > 0:
        v2 = tl.load(values + d2[None, :], mask=(d2 < D)[None, :], other=0.0)
        acc2 = tl.dot(part, v2, acc2 * shrink[:, None])
    return acc1, acc2, new_biggest, total


@triton.jit
def window_attention_kernel(  # type: ignore[no-untyped-def]
    qkv, positions, out, H, W, columns, windows, pad, token_stride, part_stride, head_stride, out_stride,
    scale,
    S: tl.constexpr, D: tl.constexpr, D1: tl.constexpr, D2: tl.constexpr, K: tl.constexpr,
    DENSE: tl.constexpr, M: tl.constexpr, N: tl.constexpr, TAIL: tl.constexpr,
):  # fmt: skip
    """M queries of one window and head; N keys at a time, then TAIL, so that the last few keys cost less.

    positions: `window_terms`, or with DENSE a bias [n, P, K]. pad: the row of qkv that padding reads.
    """
    head = tl.program_id(1)
    window = tl.program_id(2)
    image = window // windows
    top = ((window % windows) // columns) * S
    left = ((window % windows) % columns) * S
    P: tl.constexpr = S * S
    WHOLE: tl.constexpr = (P // N) * N
    i = tl.program_id(0) * M + tl.arange(0, M)
    y = top + i // S
    x = left + i % S
    here = (i < P) & (y < H) & (x < W)
    token = tl.where(here, (image * H + y) * W + x, pad).to(tl.int64)
    d1 = tl.arange(0, D1)
    base = qkv + head * head_stride
    queries = base + token[:, None] * token_stride
    q1 = tl.load(queries + d1[None, :], mask=(d1 < D)[None, :], other=0.0)
    acc1 = tl.zeros((M, D1), tl.float32)
    if D2 > 0:
        d2 = D1 + tl.arange(0, D2)
        q2 = tl.load(queries + d2[None, :], mask=(d2 < D)[None, :], other=0.0)
        acc2 = tl.zeros((M, D2), tl.float32)
    else:
        q2 = q1
        acc2 = tl.zeros((M, 1), tl.float32)
    if DENSE:
        position = positions
    else:
        c = tl.arange(0, 2 * K)
        place = ((image * tl.num_programs(1) + head).to(tl.int64) * H + y) * W + x
        position = tl.load(positions + place[:, None] * (2 * K) + c[None, :], mask=here[:, None], other=0.0)
    biggest = tl.full((M,), -1.0e30, tl.float32)
    total = tl.zeros((M,), tl.float32)
    if WHOLE > 0:
        for start in range(0, WHOLE, N):
            acc1, acc2, biggest, total = window_keys(
                base, position, q1, q2, acc1, acc2, biggest, total, start, i, top, left, image, head,
                H, W, pad, token_stride, part_stride, scale, S, D, D1, D2, K, DENSE, N, False,
            )  # fmt: skip
    if WHOLE < P:
        acc1, acc2, biggest, total = window_keys(
            base, position, q1, q2, acc1, acc2, biggest, total, WHOLE, i, top, left, image, head,
            H, W, pad, token_stride, part_stride, scale, S, D, D1, D2, K, DENSE, TAIL, True,
        )  # fmt: skip
    share = (1.0 / total)[:, None]
    target = out + token[:, None] * out_stride + head * D
    inside = here[:, None] & (d1 < D)[None, :]
    tl.store(target + d1[None, :], (acc1 * share).to(out.dtype.element_ty), mask=inside)
    if D2 > 0:
        inside = here[:, None] & (d2 < D)[None, :]
        tl.store(target + d2[None, :], (acc2 * share).to(out.dtype.element_ty), mask=inside)


def window_attention(
    qkv: Tensor, terms: Tensor, out_TC: Tensor, shape_BHW: tuple[int, int, int], S: int, heads: Heads
) -> None:
    """Writes the attention of each window, with SAM's relative position.

    qkv: [T + 1, 3 n D], its last row for padding. terms: from `window_terms`. out_TC: [T, n D], not a view of
    qkv.
    """
    _launch(qkv, terms, out_TC, shape_BHW, S, heads, keys_of_window(S), dense=False)


def window_attention_with_bias(
    qkv: Tensor, bias_nPK: Tensor, out_TC: Tensor, shape_BHW: tuple[int, int, int], S: int, heads: Heads
) -> None:
    """Writes the attention of each window, with a bias from `dense_bias`; the rest as `window_attention`."""
    _launch(qkv, bias_nPK, out_TC, shape_BHW, S, heads, bias_nPK.shape[2], dense=True)


def dense_bias(bias_nPP: Tensor) -> Tensor:
    """The bias as the kernel reads it: float16, times log2 e, rows padded to multiples of 32 bytes."""
    n, P, _ = bias_nPP.shape
    K = -(-P // SMALLEST_TILE) * SMALLEST_TILE
    bias_nPK = torch.zeros(n, P, K, device=bias_nPP.device, dtype=torch.float16)
    bias_nPK[..., :P] = bias_nPP * LOG2E
    return bias_nPK


def _launch(
    qkv: Tensor, positions: Tensor, out_TC: Tensor, shape_BHW: tuple[int, int, int], S: int, heads: Heads,
    K: int, *, dense: bool,
) -> None:  # fmt: skip
    B, H, W = shape_BHW
    rows, columns = triton.cdiv(H, S), triton.cdiv(W, S)
    D1, D2 = heads.pieces
    grid = (triton.cdiv(S * S, QUERIES), heads.count, B * rows * columns)
    window_attention_kernel[grid](
        qkv, positions, out_TC, H, W, columns, rows * columns, B * H * W, qkv.stride(0), heads.part_stride,
        heads.head_stride, out_TC.stride(0), heads.size**-0.5 * LOG2E,
        S=S, D=heads.size, D1=D1, D2=D2, K=K, DENSE=dense, M=QUERIES, N=KEYS,
        TAIL=max(SMALLEST_TILE, triton.next_power_of_2(S * S % KEYS)), num_warps=WARPS, num_stages=STAGES,
    )  # fmt: skip
