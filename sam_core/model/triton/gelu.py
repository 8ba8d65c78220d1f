"""GELU by the error function, as a part of other kernels and after a residual connection.

Oracle: `torch.nn.functional.gelu`.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 2048  # values of a program; tuned on an H100


@triton.jit
def gelu(value):  # type: ignore[no-untyped-def]
    """0.5 x (1 + erf(x / sqrt 2))."""
    return 0.5 * value * (1.0 + tl.erf(value * 0.7071067811865476))


@triton.jit
def gelu_of_sum_kernel(a, b, out, count, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """BLOCK values per program."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < count
    total = tl.load(a + i, mask=inside, other=0.0).to(tl.float32)
    total += tl.load(b + i, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + i, gelu(total).to(out.dtype.element_ty), mask=inside)


def gelu_of_sum(a: Tensor, b: Tensor) -> Tensor:
    """gelu(a + b) in the dtype of a; both contiguous and of one shape, on one device."""
    out = torch.empty_like(a)
    gelu_of_sum_kernel[(triton.cdiv(a.numel(), BLOCK),)](a, b, out, a.numel(), BLOCK=BLOCK)
    return out
