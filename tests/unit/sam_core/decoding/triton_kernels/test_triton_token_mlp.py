"""The kernel of the blocks' MLPs against torch, with the bundled weights."""

import pytest
import torch
from small_sam import bundled_sam

from sam_core.decoding.triton.fused_decoder import serves
from sam_core.decoding.triton.token_maps import TokenMaps
from sam_core.decoding.triton.token_mlp import TUNING, HalvedLinear, TokenMLP, linear, serves_mlp
from sam_core.model.layers import TransformerMLP
from sam_core.model.sam import Sam
from sam_core.model.triton.device import kind_of

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # numpy warns of the numbers that are to leave the range
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]
T, C, GRID = 7, 256, 16
EXACT = 1e-5  # relative error of float32


@pytest.fixture(scope="module")
def sam() -> Sam:
    return bundled_sam(GRID)


def tokens(prompts: int) -> torch.Tensor:
    return torch.randn(prompts, T, C, generator=torch.Generator().manual_seed(prompts))


def error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """The largest error relative to the largest value; NaN if one of our values is NaN."""
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    return float((ours - theirs).abs().max() / theirs.abs().max())


# rows of a part of a tile, and of two tiles and a part
@pytest.mark.parametrize("prompts", [2, 19])
@pytest.mark.parametrize("block", [0, 1])
@torch.inference_mode()
def test_it_is_the_blocks_own(sam: Sam, block: int, prompts: int) -> None:
    assert 2 * T < TUNING[kind_of(torch.device("cpu"))].rows < 19 * T
    x_BTC = tokens(prompts)
    theirs_BTC = sam.mask_decoder.transformer.blocks()[block].mlp(x_BTC)
    assert error(TokenMaps.of(sam).mlps[block](x_BTC), theirs_BTC) < EXACT


@pytest.mark.parametrize("is_rectified", [False, True])
@torch.inference_mode()
def test_all_three_products_count(is_rectified: bool) -> None:
    """A layer is near float32, but not if one of the low halves is left out."""
    # the bundled weights are kept in float16, and have no low halves
    torch.manual_seed(0)
    layer = torch.nn.Linear(C, 2 * C)
    halved, x_RK = HalvedLinear.of(layer), tokens(3).flatten(0, 1)
    theirs_RN = layer(x_RK).relu() if is_rectified else layer(x_RK)
    assert error(linear(x_RK, halved, is_rectified), theirs_RN) < EXACT
    without_low = HalvedLinear(halved.high_NK, torch.zeros_like(halved.low_NK), halved.bias_N)
    assert error(linear(x_RK, without_low, is_rectified), theirs_RN) > 3 * EXACT
    assert error(linear(x_RK.half().float(), halved, is_rectified), theirs_RN) > 3 * EXACT


@pytest.mark.parametrize("huge", [7e4, -7e4, 1e30, torch.inf, torch.nan])
@torch.inference_mode()
def test_a_token_beyond_the_range_is_no_number(sam: Sam, huge: float) -> None:
    """ReLU keeps NaN, and other tokens stay the same."""
    mlp, x_BTC = TokenMaps.of(sam).mlps[0], tokens(2)
    usual_BTC = mlp(x_BTC)
    x_BTC[1, 3, 100] = huge
    ours_BTC = mlp(x_BTC)
    assert bool(ours_BTC[1, 3].isnan().all())
    ours_BTC[1, 3] = usual_BTC[1, 3]
    assert torch.equal(ours_BTC, usual_BTC)


@torch.inference_mode()
def test_a_hidden_number_or_a_weight_beyond_the_range_is_none() -> None:
    mlp = TransformerMLP(C, 128, torch.nn.ReLU)
    x_BTC = tokens(1)
    mlp.lin1.bias[5] = 1e5
    assert bool(TokenMLP.of(mlp)(x_BTC).isnan().all())
    mlp.lin1.bias[5] = 0
    mlp.lin2.weight[9, 5] = 1e5
    out_BTC = TokenMLP.of(mlp)(x_BTC)
    assert bool(out_BTC[:, :, 9].isnan().all())
    assert int(out_BTC.isnan().sum()) == T


@torch.inference_mode()
def test_rows_that_lie_otherwise_in_memory(sam: Sam) -> None:
    mlp, x_TBC = TokenMaps.of(sam).mlps[0], tokens(3).transpose(0, 1)
    assert torch.equal(mlp(x_TBC), mlp(x_TBC.contiguous()))


def test_it_does_not_keep_the_model() -> None:
    mlp = TransformerMLP(C, 128, torch.nn.ReLU)
    kept = TokenMLP.of(mlp)
    before = kept(tokens(1))
    with torch.no_grad():
        mlp.lin1.weight.zero_()
        mlp.lin1.bias.zero_()
    assert torch.equal(kept(tokens(1)), before)
    assert not any(each.requires_grad for layer in (kept.lin1, kept.lin2) for each in vars(layer).values())


@pytest.mark.parametrize(
    ("hidden", "activation", "is_served"),
    [
        (2048, torch.nn.ReLU, True),
        (128, torch.nn.ReLU, True),
        (2048, torch.nn.GELU, False),
        (2000, torch.nn.ReLU, False),
    ],
)
def test_which_mlps_are_served(hidden: int, activation: type[torch.nn.Module], is_served: bool) -> None:
    mlp = TransformerMLP(C, hidden, activation)
    assert serves_mlp(mlp) == is_served
    sam = bundled_sam(GRID)
    sam.mask_decoder.transformer.blocks()[1].mlp = mlp
    assert serves(sam, torch.float16) == is_served


@pytest.mark.parametrize(("inputs", "outputs"), [(256, 2000), (200, 256)])
def test_a_layer_that_the_tiles_do_not_divide_is_refused(inputs: int, outputs: int) -> None:
    layer = HalvedLinear.of(torch.nn.Linear(inputs, outputs))
    with pytest.raises(ValueError, match=f"do not divide a layer of {outputs} x {inputs}"):
        linear(torch.zeros(7, inputs), layer, is_rectified=False)
