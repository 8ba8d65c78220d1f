"""Layers that several of SAM's modules share, and typed access to the members of torch's containers.

The two multi-layer perceptrons differ in their checkpoint keys: `lin1` and `lin2`, or `layers.N`.
"""

from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Layer = TypeVar("Layer", bound=nn.Module)


def typed_layer(layer: nn.Module, kind: type[Layer]) -> Layer:
    """The same layer with its type: ModuleList and Sequential type their members as nn.Module only.

    Raises: TypeError if it is of another class.
    """
    if not isinstance(layer, kind):
        raise TypeError(f"expected a layer of the class {kind.__name__}, got {type(layer).__name__}")
    return layer


class TransformerMLP(nn.Module):
    """Two layers around an activation, as in the blocks of the ViT and the mask decoder."""

    def __init__(self, dim: int, hidden_dim: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.lin1 = nn.Linear(dim, hidden_dim)
        self.lin2 = nn.Linear(hidden_dim, dim)
        self.act = activation()

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.act(self.lin1(x))
        out: Tensor = self.lin2(hidden)
        return out


class MLPHead(nn.Module):
    """`num_layers` layers with ReLU between them: the mask decoder's output heads."""

    def __init__(self, input_dim: int, hidden_dim: int, output_dim: int, num_layers: int) -> None:
        super().__init__()
        widths = [input_dim, *[hidden_dim] * (num_layers - 1), output_dim]
        self.layers = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        out: Tensor = self.layers[-1](x)
        return out


class LayerNorm2d(nn.Module):
    """Each position of [B, C, H, W] normalised over its C channels.

    Uses torch's fused kernel on the channels-last view, without a copy if the input has that layout.
    """

    def __init__(self, num_channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))
        self.eps = eps

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BHWC = x_BCHW.permute(0, 2, 3, 1)
        return F.layer_norm(x_BHWC, self.weight.shape, self.weight, self.bias, self.eps).permute(0, 3, 1, 2)
