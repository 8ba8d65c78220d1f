"""Attention of every token of a map to all others, with SAM's decomposed relative position.

A block of keys is one row of the map. Then rel_w of a query is the same vector for every block and stays in
registers, and rel_h is one number per query and block: the bias is never made. Softmax is computed online.
Oracle: `sam_core.model.attention.position_attention`.

Legend: B images, n heads, H x W tokens of a map, P = H W, T = B P, D channels of a head.
"""

import triton
import triton.language as tl
from torch import Tensor

from sam_core.model.triton.heads import Heads
from sam_core.model.triton.relative_positions import LOG2E, SMALLEST_TILE

# Tuned on an H100: queries of a tile.
QUERIES = 128
WARPS, STAGES = 8, 3
LARGEST_MAP = 64  # side: SAM's own


@triton.jit
def global_attention_kernel(  # type: ignore[no-untyped-def]
    qkv, terms, out, H, token_stride, part_stride, head_stride, out_stride, scale,
    W: tl.constexpr, D: tl.constexpr, D1: tl.constexpr, D2: tl.constexpr, M: tl.constexpr,
):  # fmt: skip
    """M queries of one head of one image."""
    i = tl.program_id(0) * M + tl.arange(0, M)
    head = tl.program_id(1)
    image = tl.program_id(2)
    P = H * W
    inside = i < P
    first = (image * P).to(tl.int64)
    base = qkv + head * head_stride
    queries = base + (first + tl.where(inside, i, 0))[:, None] * token_stride
    d1 = tl.arange(0, D1)
    q1 = tl.load(queries + d1[None, :], mask=(d1 < D)[None, :], other=0.0)
    acc1 = tl.zeros((M, D1), tl.float32)
    if D2 > 0:
        d2 = D1 + tl.arange(0, D2)
        q2 = tl.load(queries + d2[None, :], mask=(d2 < D)[None, :], other=0.0)
        acc2 = tl.zeros((M, D2), tl.float32)
    n = tl.arange(0, W)
    plane = terms + (image * tl.num_programs(1) + head).to(tl.int64) * ((H + W) * P)
    columns = tl.load(
        plane + H * P + i[:, None] * W + n[None, :], mask=inside[:, None], other=0.0
    ).to(tl.float32)  # fmt: skip
    biggest = tl.full((M,), -1.0e30, tl.float32)
    total = tl.zeros((M,), tl.float32)
    keys = base + part_stride + (first + n)[:, None] * token_stride
    for row in range(0, H):
        k1 = tl.load(keys + d1[None, :], mask=(d1 < D)[None, :], other=0.0)
        score = tl.dot(q1, tl.trans(k1))
        if D2 > 0:
            k2 = tl.load(keys + d2[None, :], mask=(d2 < D)[None, :], other=0.0)
            score = tl.dot(q2, tl.trans(k2), score)
        score = score * scale + columns
        # The row's term shifts all scores of the block equally: it is added to their maximum, not to each.
        shift = tl.load(plane + row * P + i, mask=inside, other=0.0).to(tl.float32)
        new_biggest = tl.maximum(biggest, tl.max(score, 1) + shift)
        part = tl.exp2(score - (new_biggest - shift)[:, None])
        shrink = tl.exp2(biggest - new_biggest)
        total = total * shrink + tl.sum(part, 1)
        biggest = new_biggest
        v1 = tl.load(keys + part_stride + d1[None, :], mask=(d1 < D)[None, :], other=0.0)
        part = part.to(v1.dtype)
        acc1 = tl.dot(part, v1, acc1 * shrink[:, None])
        if D2 > 0:
            v2 = tl.load(keys + part_stride + d2[None, :], mask=(d2 < D)[None, :], other=0.0)
            acc2 = tl.dot(part, v2, acc2 * shrink[:, None])
        keys += W * token_stride
    share = (1.0 / total)[:, None]
    target = out + (first + i)[:, None] * out_stride + head * D
    here = inside[:, None] & (d1 < D)[None, :]
    tl.store(target + d1[None, :], (acc1 * share).to(out.dtype.element_ty), mask=here)
    if D2 > 0:
        here = inside[:, None] & (d2 < D)[None, :]
        tl.store(target + d2[None, :], (acc2 * share).to(out.dtype.element_ty), mask=here)


def global_attention(
    qkv: Tensor, terms: Tensor, out_TC: Tensor, shape_BHW: tuple[int, int, int], heads: Heads
) -> None:
    """Writes the attention of each map; `map_serves` must hold for its side.

    qkv: [T or more, 3 n D]. terms: from `relative_positions.global_terms`. out_TC: [T, n D], not a view of
    qkv.
    """
    B, H, W = shape_BHW
    D1, D2 = heads.pieces
    global_attention_kernel[(triton.cdiv(H * W, QUERIES), heads.count, B)](
        qkv, terms, out_TC, H, qkv.stride(0), heads.part_stride, heads.head_stride, out_TC.stride(0),
        heads.size**-0.5 * LOG2E,
        W=W, D=heads.size, D1=D1, D2=D2, M=QUERIES, num_warps=WARPS, num_stages=STAGES,
    )  # fmt: skip


def map_serves(side: int) -> bool:
    """Whether a row of a square map is a tile of keys: a power of two that fits the registers."""
    return SMALLEST_TILE <= side <= LARGEST_MAP and side & (side - 1) == 0
