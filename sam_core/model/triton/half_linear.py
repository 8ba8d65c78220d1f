"""Linear layers with their weights cast once to float16.

Legend: T tokens, I channels in, O channels out.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class HalfLinear:
    """Rows [T, I] to rows [T, O], all float16."""

    weight_OI: Tensor
    bias_O: Tensor

    @classmethod
    def of(cls, layer: nn.Linear) -> "HalfLinear":
        """A copy of the layer's weights in float16."""
        return cls(layer.weight.half().contiguous(), layer.bias.half().contiguous())

    def __call__(self, x_TI: Tensor) -> Tensor:
        return torch.addmm(self.bias_O, x_TI, self.weight_OI.T)

    def write(self, x_TI: Tensor, out_TO: Tensor) -> None:
        """Writes the rows to `out_TO`."""
        torch.addmm(self.bias_O, x_TI, self.weight_OI.T, out=out_TO)

    def with_gelu(self, x_TI: Tensor) -> Tensor:
        """GELU of the rows in its tanh form, which CUDA's products compute before they write the result."""
        if x_TI.is_cuda:
            return torch._addmm_activation(self.bias_O, x_TI, self.weight_OI.T, use_gelu=True)
        # On a CPU the same call would use the erf form.
        return F.gelu(self(x_TI).float(), approximate="tanh").to(x_TI.dtype)
