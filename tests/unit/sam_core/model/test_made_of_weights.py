"""Values made from weights are made again when the weights change, and only once while they do not."""

from collections.abc import Callable
from itertools import count

import pytest
import torch
from torch import nn

from sam_core.model.made_of_weights import MadeOfWeights


def modules() -> list[nn.Module]:
    return [nn.Linear(2, 2), nn.BatchNorm2d(2)]


def by_data(layers: list[nn.Module]) -> None:
    """A write that torch does not count, then the step that docs/drop-in.md advises after it."""
    layers[0].weight.data.mul_(2)
    layers[0].load_state_dict(layers[0].state_dict())


@pytest.mark.parametrize(
    "write",
    [
        lambda layers: layers[0].weight.mul_(2),
        lambda layers: layers[1].weight.mul_(2),
        lambda layers: layers[1].running_mean.add_(1),
        lambda layers: setattr(layers[0], "bias", nn.Parameter(torch.zeros(2))),
        by_data,
    ],
)
def test_a_write_is_seen(write: Callable[[list[nn.Module]], object]) -> None:
    made, layers, numbers = MadeOfWeights[int](), modules(), count()
    asked = [made.get(layers, "key", lambda: next(numbers)) for _ in range(2)]
    with torch.no_grad():
        write(layers)
    asked += [made.get(layers, "key", lambda: next(numbers)) for _ in range(2)]
    assert asked == [0, 0, 1, 1]


def test_each_key_has_its_own() -> None:
    made, layers = MadeOfWeights[str](), modules()
    assert [made.get(layers, key, lambda key=key: key) for key in ("a", "b", "a")] == ["a", "b", "a"]
