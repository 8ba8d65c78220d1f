"""Products inside kernels with sums in float32: float16 numbers directly, float32 numbers near float32.

A float32 is split into two float16, which tensor cores multiply: three of the four products of such pairs are
computed, and the fourth is left out. The two halves hold the number to 22 bits, or to 2^-25 if that is more.
In both types numbers must lie within float16's range; all products of a float32 beyond it are NaN.

Oracle: a product in float32.

Three tf32 products would have float32's own range. But they need twice the registers and shared memory, so
that the large kernels spill (compiled for sm_90), and run at half the speed.
"""

import torch
import triton
import triton.language as tl


def is_held(numbers: torch.Tensor) -> torch.Tensor:
    """Whether each of the numbers lies within float16's range."""
    return numbers.abs() <= torch.finfo(torch.float16).max


@triton.jit
def halves(x):  # type: ignore[no-untyped-def]
    """A float32 rounded to float16, and the remainder as float16."""
    high = x.to(tl.float16)
    return high, (x - high.to(tl.float32)).to(tl.float16)


@triton.jit
def product(a, b, total=None):  # type: ignore[no-untyped-def]
    """a @ b, added to `total`; both float16 or both float32."""
    if a.dtype == tl.float16:
        total = tl.dot(a, b, total)
    else:
        high, low = halves(a)
        b_high, b_low = halves(b)
        total = tl.dot(high, b_high, total)
        total = tl.dot(low, b_high, total)
        total = tl.dot(high, b_low, total)
    return total
