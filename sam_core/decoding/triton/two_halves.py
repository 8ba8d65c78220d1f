"""A float32 as the sum of two float16, which tensor cores multiply: near float32 in three products.

The sum is the number to 22 bits, or to 2^-25 where that is more. Numbers have to lie within float16's range.
"""

import torch
import triton
import triton.language as tl


def in_two(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The values in float16, and what that leaves in float16; contiguous."""
    high = values.half().contiguous()
    return high, (values - high).half().contiguous()


@triton.jit
def halves(x):  # type: ignore[no-untyped-def]
    """As in_two, in a kernel."""
    high = x.to(tl.float16)
    return high, (x - high.to(tl.float32)).to(tl.float16)


@triton.jit
def product(a, a_low, b, b_low, EXACT: tl.constexpr):  # type: ignore[no-untyped-def]
    """a @ b with sums in float32; the low parts are read where EXACT."""
    total = tl.dot(a, b)
    if EXACT:
        total = tl.dot(a_low, b, total)
        total = tl.dot(a, b_low, total)
    return total


@triton.jit
def exact_product(a, b):  # type: ignore[no-untyped-def]
    """The product of two float32."""
    high, low = halves(a)
    b_high, b_low = halves(b)
    return product(high, low, b_high, b_low, True)
