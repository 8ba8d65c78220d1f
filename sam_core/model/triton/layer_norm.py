"""LayerNorm in float32 of a stream, which also adds the previous product to the stream.

out = LayerNorm(x + y), and x becomes x + y: the residual needs no separate pass over memory. Oracle:
`torch.nn.functional.layer_norm` of the sum.

Legend: T tokens, C channels.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor, nn

from sam_core.model.layers import LayerNorm2d

BLOCK_VALUES = 1024  # per program if rows are shorter; tuned on an H100
WARPS = 4


@dataclass(frozen=True)
class Norm:
    """A LayerNorm's weights in float32."""

    weight_C: Tensor
    bias_C: Tensor
    eps: float

    @classmethod
    def of(cls, layer: nn.LayerNorm | LayerNorm2d) -> "Norm":
        """The layer's own weights, copied only if they are of another dtype."""
        return cls(layer.weight.float().contiguous(), layer.bias.float().contiguous(), layer.eps)


@dataclass(frozen=True)
class Copied:
    """A vector that the launch also copies, to save a separate kernel for a few numbers."""

    source: Tensor
    target: Tensor


@triton.jit
def layer_norm_kernel(  # type: ignore[no-untyped-def]
    x, y, weight, bias, out, source, target, T, C, copied, eps,
    ADD: tl.constexpr, COPY: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr, COPY_BLOCK: tl.constexpr,
):  # fmt: skip
    """ROWS rows per program; with COPY the first program also copies `copied` numbers."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    c = tl.arange(0, BLOCK)
    inside_c = c < C
    inside = (row < T)[:, None] & inside_c[None, :]
    place = row.to(tl.int64)[:, None] * C + c[None, :]
    value = tl.load(x + place, mask=inside, other=0.0).to(tl.float32)
    if ADD:
        value += tl.load(y + place, mask=inside, other=0.0).to(tl.float32)
        tl.store(x + place, value.to(x.dtype.element_ty), mask=inside)
    mean = tl.sum(value, 1) / C
    centred = tl.where(inside_c[None, :], value - mean[:, None], 0.0)
    variance = tl.sum(centred * centred, 1) / C
    normal = centred * (1.0 / tl.sqrt(variance + eps))[:, None]
    gain = tl.load(weight + c, mask=inside_c, other=0.0)
    offset = tl.load(bias + c, mask=inside_c, other=0.0)
    result = normal * gain[None, :] + offset[None, :]
    tl.store(out + place, result.to(out.dtype.element_ty), mask=inside)
    if COPY:  # noqa: SIM102
        # Two ifs: the first is decided while compiling.
        if tl.program_id(0) == 0:
            i = tl.arange(0, COPY_BLOCK)
            tl.store(target + i, tl.load(source + i, mask=i < copied, other=0.0), mask=i < copied)


def layer_norm(
    x_TC: Tensor, y_TC: Tensor | None, norm: Norm, out_TC: Tensor, copied: Copied | None = None
) -> None:
    """Writes the normalised sum to `out_TC` and, if there is a y, the sum itself to `x_TC`.

    All [T, C] and contiguous on one device, each of any floating dtype.
    """
    T, C = out_TC.shape
    block = triton.next_power_of_2(C)
    rows = max(1, BLOCK_VALUES // block)
    source, target = (copied.source, copied.target) if copied else (x_TC, x_TC)
    count = source.numel() if copied else 1
    layer_norm_kernel[(triton.cdiv(T, rows),)](
        x_TC, x_TC if y_TC is None else y_TC, norm.weight_C, norm.bias_C, out_TC, source, target, T, C, count,
        norm.eps, ADD=y_TC is not None, COPY=copied is not None, ROWS=rows, BLOCK=block,
        COPY_BLOCK=triton.next_power_of_2(count), num_warps=WARPS,
    )  # fmt: skip


def normalised(x_TC: Tensor, norm: Norm, dtype: torch.dtype) -> Tensor:
    """LayerNorm of the rows, [T, C] in this dtype."""
    out_TC = torch.empty(x_TC.shape, device=x_TC.device, dtype=dtype)
    layer_norm(x_TC, None, norm, out_TC)
    return out_TC
