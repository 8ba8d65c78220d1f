"""Attention with SAM's decomposed relative position, through torch's fused kernels and without a bias tensor.

A score of SAM's image encoder is q.k / sqrt(D) + rel_h(q)[row of k] + rel_w(q)[column of k]. Both added terms
are products of a vector of the query with a one-hot vector of the key, so they fold into the dot product as
extra channels: q' = [q / sqrt(D), rel_h(q), rel_w(q)] and k' = [k, onehot(row), onehot(column)]. The bias of
all queries and keys, 0.8 GB an image in a global block of vit_b, is never made, and any fused kernel works.

Legend: B images or windows, n heads, D channels a head, C = n * D, H x W positions that are queries and keys.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam_core.model.own_modules import is_own
from sam_core.model.windows import window_merge, window_partition

HEAD_SIZE_MULTIPLE = 8  # fused GPU kernels need rows of 16 bytes: 8 numbers of bfloat16


def relative_positions(size: int, table_LD: Tensor) -> Tensor:
    """Table rows by query and key place, [size, size, D]; a table of another length is resampled linearly.

    Source: segment-anything dca509f, modeling/image_encoder.py, get_rel_pos.
    """
    length = 2 * size - 1
    if table_LD.shape[0] != length:
        table_LD = F.interpolate(table_LD.T[None], size=length, mode="linear")[0].T
    place = torch.arange(size, device=table_LD.device)
    return table_LD[place[:, None] - place[None, :] + size - 1]


def position_attention(
    q_BnHWD: Tensor, k_BnHWD: Tensor, v_BnHWD: Tensor, rel_h_HHD: Tensor, rel_w_WWD: Tensor
) -> Tensor:
    """Attention between all positions, [B, n, H * W, D], with the relative position in the scores."""
    B, n, H, W, D = q_BnHWD.shape
    row_scores = torch.einsum("bnhwd,hkd->bnhwk", q_BnHWD, rel_h_HHD)
    column_scores = torch.einsum("bnhwd,wkd->bnhwk", q_BnHWD, rel_w_WWD)
    q = torch.cat([q_BnHWD * D**-0.5, row_scores, column_scores], dim=-1)
    row_of_key = torch.eye(H, dtype=q.dtype, device=q.device)[:, None].expand(B, n, H, W, H)
    column_of_key = torch.eye(W, dtype=q.dtype, device=q.device).expand(B, n, H, W, W)
    k = torch.cat([k_BnHWD, row_of_key, column_of_key], dim=-1)

    spare = -q.shape[-1] % HEAD_SIZE_MULTIPLE
    q, k = F.pad(q, (0, spare)), F.pad(k, (0, spare))
    v = F.pad(v_BnHWD, (0, q.shape[-1] - D))  # the kernels need q, k and v of one width
    out = F.scaled_dot_product_attention(q.flatten(2, 3), k.flatten(2, 3), v.flatten(2, 3), scale=1.0)
    return out[..., :D]


class ViTAttention(nn.Module):
    """Multi-head self-attention over a feature map, inside windows unless `window_size` is 0."""

    def __init__(self, dim: int, num_heads: int, grid_size: int, window_size: int, use_rel_pos: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.window_size = window_size
        self.use_rel_pos = use_rel_pos
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        if use_rel_pos:
            length = 2 * (window_size or grid_size) - 1
            self.rel_pos_h = nn.Parameter(torch.zeros(length, dim // num_heads))
            self.rel_pos_w = nn.Parameter(torch.zeros(length, dim // num_heads))

    def forward(self, x_BHWC: Tensor) -> Tensor:
        _, H, W, C = x_BHWC.shape
        h, w = (self.window_size, self.window_size) if self.window_size else (H, W)
        qkv = self._qkv(x_BHWC)
        q, k, v = qkv.view(-1, h, w, 3, self.num_heads, C // self.num_heads).permute(3, 0, 4, 1, 2, 5)
        if self.use_rel_pos:
            rel_h, rel_w = relative_positions(h, self.rel_pos_h), relative_positions(w, self.rel_pos_w)
            out = position_attention(q, k, v, rel_h, rel_w)
        else:
            out = F.scaled_dot_product_attention(q.flatten(2, 3), k.flatten(2, 3), v.flatten(2, 3))
        out = out.transpose(1, 2).flatten(2)
        out = window_merge(out, self.window_size, H, W) if self.window_size else out.view(-1, H, W, C)
        projected: Tensor = self.proj(out)
        return projected

    def _qkv(self, x_BHWC: Tensor) -> Tensor:
        """The layer's output for each window, or for the whole map."""
        if not is_own(self.qkv):  # an adapter, or a hook
            of_windows: Tensor = self.qkv(self._windows(x_BHWC))
            return of_windows
        # The bias is added after the windows are padded with zeros. This gives exactly what SAM computes for
        # padding tokens, but skips their products (a sixth of all at 64 x 64).
        products = self._windows(F.linear(x_BHWC, self.qkv.weight))
        return products + self.qkv.bias.to(products.dtype)

    def _windows(self, x_BHWC: Tensor) -> Tensor:
        """[windows, h, w, C], or the map itself."""
        size = self.window_size
        return window_partition(x_BHWC, size).view(-1, size, size, x_BHWC.shape[-1]) if size else x_BHWC
