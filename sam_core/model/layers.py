"""SAM's two multi-layer perceptrons; their checkpoint keys differ (`lin1`, `lin2` against `layers.N`)."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F


class MLPBlock(nn.Module):
    """Two layers around an activation, as transformer blocks have them."""

    def __init__(self, dim: int, hidden_dim: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.lin1 = nn.Linear(dim, hidden_dim)
        self.lin2 = nn.Linear(hidden_dim, dim)
        self.act = activation()

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.act(self.lin1(x))
        out: Tensor = self.lin2(hidden)
        return out


class MLP(nn.Module):
    """`num_layers` layers with ReLU between them, as the mask decoder's heads have them."""

    def __init__(self, input_dim: int, hidden_dim: int, output_dim: int, num_layers: int) -> None:
        super().__init__()
        widths = [input_dim, *[hidden_dim] * (num_layers - 1), output_dim]
        self.layers = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        out: Tensor = self.layers[-1](x)
        return out
