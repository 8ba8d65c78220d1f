"""The two vectors of a query that SAM's decomposed relative position adds to its scores.

A score is q.k / sqrt(D) + rel_h(q)[row of k] + rel_w(q)[column of k] with rel_h(q) = table_h[row of q] q and
rel_w(q) = table_w[column of q] q, rows and columns inside the query's window or, without windows, the map. A
program handles one line of the map, a row for rel_h and a column for rel_w: its queries share one slice of
the table, so that the terms are one product. They are stored in float16, in the layout that the attention
reads; a term too large for float16 becomes infinite and shows in the features. Oracle: the two einsums of
`sam_core.model.attention.position_attention`, with tables from its `relative_positions`.

Legend: B images, n heads, H x W tokens of a map, P = H W, D channels of a head, S side of a window, T = B P.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from sam_core.model.triton.heads import Heads

SMALLEST_TILE = 16  # of a product
LOG2E = 1.4426950408889634  # the kernels' exponentials are powers of two
WARPS = 4


@triton.jit
def position_terms_kernel(  # type: ignore[no-untyped-def]
    qkv, tables, out, H, W, S, token_stride, head_stride, plane_stride, columns_at,
    row_token, row_key, column_token, column_key, factor,
    D: tl.constexpr, D_BLOCK: tl.constexpr, KEYS: tl.constexpr, LINE: tl.constexpr,
):  # fmt: skip
    """The terms of one line of one head of one image, times `factor`.

    tables [2, S, S, D] by place of the query and of the key. `out` holds a plane for each head of each image:
    rel_h at token * row_token + key * row_key, rel_w likewise from `columns_at` on. Keys from S on get zeros.
    """
    by_row = tl.program_id(0) < H
    line = tl.where(by_row, tl.program_id(0), tl.program_id(0) - H)
    head = tl.program_id(1)
    image = tl.program_id(2)
    t = tl.arange(0, LINE)
    k = tl.arange(0, KEYS)
    d = tl.arange(0, D_BLOCK)
    y = tl.where(by_row, line, t)
    x = tl.where(by_row, t, line)
    inside = (y < H) & (x < W)
    token = y * W + x
    row = (image * H * W + token).to(tl.int64)
    q = tl.load(
        qkv + row[:, None] * token_stride + head * head_stride + d[None, :],
        mask=inside[:, None] & (d < D)[None, :], other=0.0,
    )  # fmt: skip
    table = tables + tl.where(by_row, 0, S * S * D) + (line % S) * S * D
    positions = tl.load(
        table + k[:, None] * D + d[None, :], mask=(k < S)[:, None] & (d < D)[None, :], other=0.0
    )
    terms = tl.dot(q, tl.trans(positions)) * factor
    plane = (image * tl.num_programs(1) + head).to(tl.int64) * plane_stride
    by_token = tl.where(by_row, row_token, column_token)
    by_key = tl.where(by_row, row_key, column_key)
    place = plane + tl.where(by_row, 0, columns_at) + token[:, None] * by_token + k[None, :] * by_key
    tl.store(out + place, terms.to(tl.float16), mask=inside[:, None])


@dataclass(frozen=True)
class TermLayout:
    """Where a term lies inside the plane of its head."""

    plane: int
    columns_at: int  # rel_w's start
    row_token: int
    row_key: int
    column_token: int
    column_key: int


def keys_of_window(S: int) -> int:
    """Number of terms per axis: S, padded with zeros to a power of two."""
    return max(SMALLEST_TILE, 1 << (S - 1).bit_length())


def window_terms(qkv: Tensor, tables_2SSD: Tensor, shape_BHW: tuple[int, int, int], heads: Heads) -> Tensor:
    """rel_h and rel_w of each token, each padded to K keys: float16 [B, n, P, 2, K], times sqrt(D).

    The attention adds them before it scales its scores. qkv: [T or more, 3 n D] in the tables' dtype.
    """
    B, H, W = shape_BHW
    K = keys_of_window(tables_2SSD.shape[1])
    out = torch.empty(B, heads.count, H * W, 2, K, device=qkv.device, dtype=torch.float16)
    layout = TermLayout(
        plane=H * W * 2 * K, columns_at=K, row_token=2 * K, row_key=1, column_token=2 * K, column_key=1
    )
    _launch(qkv, tables_2SSD, out, shape_BHW, heads, layout, heads.size**0.5)
    return out


def global_terms(qkv: Tensor, tables_2SSD: Tensor, shape_BHW: tuple[int, int, int], heads: Heads) -> Tensor:
    """rel_h as [H, P], then rel_w as [P, W], for each head: float16 [B, n, (H + W) P], times log2 e.

    The map is square, its side a power of two from 16 on. qkv: [T or more, 3 n D] in the tables' dtype.
    """
    B, H, W = shape_BHW
    P = H * W
    out = torch.empty(B, heads.count, (H + W) * P, device=qkv.device, dtype=torch.float16)
    layout = TermLayout(
        plane=(H + W) * P, columns_at=H * P, row_token=1, row_key=P, column_token=W, column_key=1
    )
    _launch(qkv, tables_2SSD, out, shape_BHW, heads, layout, LOG2E)
    return out


def _launch(
    qkv: Tensor, tables_2SSD: Tensor, out: Tensor, shape_BHW: tuple[int, int, int], heads: Heads,
    layout: TermLayout, factor: float,
) -> None:  # fmt: skip
    B, H, W = shape_BHW
    S = tables_2SSD.shape[1]
    position_terms_kernel[(H + W, heads.count, B)](
        qkv, tables_2SSD, out, H, W, S, qkv.stride(0), heads.head_stride, layout.plane, layout.columns_at,
        layout.row_token, layout.row_key, layout.column_token, layout.column_key, factor,
        D=heads.size, D_BLOCK=max(SMALLEST_TILE, triton.next_power_of_2(heads.size)), KEYS=keys_of_window(S),
        LINE=max(SMALLEST_TILE, triton.next_power_of_2(max(H, W))), num_warps=WARPS,
    )  # fmt: skip
