"""The blocks' MLPs for the tokens of all prompts, with products near float32 on tensor cores.

Torch's float32 products do not use tensor cores, as its flags for TF32 are off while a model works. Here a
product is three float16 products (two_halves.py). The weights are split into halves once. A program splits
its rows of x itself, but only loads weights, so that products can read them from shared memory.

A number beyond float16's range makes its row NaN, and then the prompt's predicted IoU too.

Oracle: `TransformerMLP.forward`.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from sam_core.decoding.triton.two_halves import halves
from sam_core.model.layers import TransformerMLP
from sam_core.model.triton.device import Kind, kind_of


@dataclass(frozen=True)
class MLPTuning:
    """The tile of a program, and how many inputs it sums at a time."""

    rows: int
    columns: int
    inner: int
    warps: int
    stages: int


# chosen without a card: no spills; two programs fit a processor of any kind, three fit an H100's
TUNING = dict.fromkeys(Kind, MLPTuning(rows=64, columns=128, inner=32, warps=4, stages=3))


@triton.jit(do_not_specialize=["rows"])
def linear_kernel(  # type: ignore[no-untyped-def]
    x_RK,  # float32
    high_NK,
    low_NK,
    bias_N,  # float32
    out_RN,  # out: float32
    rows,
    K: tl.constexpr,
    N: tl.constexpr,
    IS_RECTIFIED: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    INNER: tl.constexpr,
):
    # programs of the same rows are neighbours, so that x is read from the L2 cache
    n = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    row = tl.program_id(1).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    k = tl.arange(0, INNER)
    is_row = (row < rows)[:, None]
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for first in range(0, K, INNER):
        x_high, x_low = halves(tl.load(x_RK + row[:, None] * K + first + k[None, :], mask=is_row, other=0.0))
        weights = n[None, :] * K + first + k[:, None]
        high, low = tl.load(high_NK + weights), tl.load(low_NK + weights)
        total = tl.dot(x_high, high, total)
        total = tl.dot(x_low, high, total)
        total = tl.dot(x_high, low, total)
    total += tl.load(bias_N + n)[None, :]
    if IS_RECTIFIED:
        # not tl.maximum, which makes 0 of NaN
        total = tl.where(total < 0.0, 0.0, total)
    tl.store(out_RN + row[:, None] * N + n[None, :], total, mask=is_row)


@dataclass(frozen=True)
class HalvedLinear:
    """The weights of a linear layer from K inputs to N outputs, each as the sum of two float16."""

    high_NK: torch.Tensor
    low_NK: torch.Tensor
    bias_N: torch.Tensor  # float32

    @classmethod
    def of(cls, linear: torch.nn.Linear) -> "HalvedLinear":
        """The layer's weights, as they are now."""
        weight_NK = linear.weight.detach().contiguous()
        high_NK = weight_NK.half()
        return cls(high_NK, (weight_NK - high_NK.float()).half(), linear.bias.detach().clone())


@dataclass(frozen=True)
class TokenMLP:
    """The two layers of a block's MLP, whose activation is ReLU."""

    lin1: HalvedLinear
    lin2: HalvedLinear

    @classmethod
    def of(cls, mlp: TransformerMLP) -> "TokenMLP":
        """The current weights of an MLP for which `serves_mlp` is true."""
        return cls(HalvedLinear.of(mlp.lin1), HalvedLinear.of(mlp.lin2))

    def __call__(self, x_BTC: torch.Tensor) -> torch.Tensor:
        """The MLP's output for B prompts' T tokens; both float32 [B, T, C]."""
        hidden_RN = linear(x_BTC.flatten(0, 1).contiguous(), self.lin1, is_rectified=True)
        return linear(hidden_RN, self.lin2, is_rectified=False).view(x_BTC.shape)


def serves_mlp(mlp: TransformerMLP) -> bool:
    """Whether the tiles divide the sizes of the MLP's layers, and its activation is ReLU."""
    sizes = (*mlp.lin1.weight.shape, *mlp.lin2.weight.shape)
    steps = {step for tuning in TUNING.values() for step in (tuning.columns, tuning.inner)}
    return isinstance(mlp.act, torch.nn.ReLU) and all(size % step == 0 for size in sizes for step in steps)


def linear(x_RK: torch.Tensor, layer: HalvedLinear, is_rectified: bool) -> torch.Tensor:
    """The layer's output float32 [R, N] for contiguous rows; if rectified, negative values become 0.

    Raises: ValueError if a tile does not divide N or K.
    """
    (R, K), N, tuning = x_RK.shape, len(layer.bias_N), TUNING[kind_of(x_RK.device)]
    if N % tuning.columns or K % tuning.inner:
        raise ValueError(
            f"tiles of {tuning.columns} x {tuning.inner} do not divide a layer of {N} x {K}; use torch's "
            "layer"
        )
    out_RN = x_RK.new_empty(R, N)
    linear_kernel[(N // tuning.columns, triton.cdiv(R, tuning.rows))](
        x_RK, layer.high_NK, layer.low_NK, layer.bias_N, out_RN, R, K=K, N=N, IS_RECTIFIED=is_rectified,
        ROWS=tuning.rows, COLUMNS=tuning.columns, INNER=tuning.inner,
        num_warps=tuning.warps, num_stages=tuning.stages,
    )  # fmt: skip
    return out_RN
