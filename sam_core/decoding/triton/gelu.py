"""GELU inside kernels, doubled: 2 gelu(x) = x (1 + erf(x / sqrt 2)). The next weights are halved for it.

The quick form replaces erf by tanh(x (a + b x^2)), for which GPUs have one instruction; a and b are fitted,
and the error of gelu(x) is at most 2.7e-4 (float16 has steps of that size above 0.25). Oracle: torch's
`gelu`.
"""

import triton
import triton.language as tl

from sam_core.model.triton.device import INTERPRETED

HAS_TANH_INSTRUCTION = tl.constexpr(not INTERPRETED)


@triton.jit
def twice_gelu(x, EXACT: tl.constexpr):  # type: ignore[no-untyped-def]
    """2 gelu(x), float32: with erf if EXACT, else with tanh."""
    if EXACT:
        shape = tl.math.erf(x * 0.70710678118654752)
    else:
        shape = quick_tanh(x * (0.800155586 + x * x * 0.0347015628))
    return x * shape + x


@triton.jit
def quick_tanh(x):  # type: ignore[no-untyped-def]
    """tanh(x) with a relative error of 2^-11."""
    if HAS_TANH_INSTRUCTION:
        y = tl.inline_asm_elementwise(
            "tanh.approx.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1
        )
    else:
        y = 1.0 - 2.0 / (tl.exp(tl.minimum(2.0 * x, 80.0)) + 1.0)
    return y
