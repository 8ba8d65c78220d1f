"""Each kernel of the fused decoder against plain torch: the bundled weights, 16 x 16 positions of noise.

In float16, and in float32, where results may differ only by rounding.
"""

from dataclasses import dataclass, replace

import pytest
import torch
import triton
import triton.language as tl
from small_sam import bundled_sam

from sam_core.decoding.image_side import ImageSide, centred, crop_side
from sam_core.decoding.image_tokens import (
    ImageTokens,
    TokenValues,
    attended,
    projected_scores,
    projected_sum,
    tokens_after_first,
    tokens_after_second,
)
from sam_core.decoding.prompt_side import queries, token_values
from sam_core.decoding.token_pass import merged
from sam_core.decoding.triton import look as look_module
from sam_core.decoding.triton.first_look import first_look
from sam_core.decoding.triton.gelu import twice_gelu
from sam_core.decoding.triton.head_rows import SCORE_SCALE
from sam_core.decoding.triton.image_side_maps import FusedSide, ImageSideMaps
from sam_core.decoding.triton.look import look
from sam_core.decoding.triton.positions import positions_after_first, positions_after_second
from sam_core.decoding.triton.token_maps import TokenMaps
from sam_core.decoding.triton.token_products import AddedValues, gram, mix, seen_values, upscaling_values
from sam_core.model.sam import Sam
from sam_core.model.transformer import DecoderAttention

pytestmark = pytest.mark.usefixtures("one_thread")
B, T, GRID = 3, 7, 16  # an odd number of prompts
HALF, FULL = torch.float16, torch.float32
in_both = pytest.mark.parametrize("dtype", [HALF, FULL], ids=["float16", "float32"])
EXACT = 1e-5  # relative error of float32


@dataclass(frozen=True)
class Scene:
    """A model, an image, and tokens of three prompts that have attended in both blocks."""

    sam: Sam
    side: ImageSide
    fused: dict[torch.dtype, FusedSide]
    maps: TokenMaps
    tokens_BTC: torch.Tensor
    first: TokenValues
    second: TokenValues
    after_first: ImageTokens
    after_second: ImageTokens

    @property
    def attention0(self) -> DecoderAttention:
        return self.sam.mask_decoder.transformer.blocks()[0].cross_attn_image_to_token

    @property
    def attention1(self) -> DecoderAttention:
        return self.sam.mask_decoder.transformer.blocks()[1].cross_attn_image_to_token

    def projected(self, linear: torch.nn.Module) -> torch.Tensor:
        projected: torch.Tensor = linear(self.tokens_BTC)
        return projected

    def added(self, blocks: int) -> AddedValues:
        first = self.projected(self.attention0.v_proj)
        return AddedValues(first, self.projected(self.attention1.v_proj) if blocks == 2 else None)


@pytest.fixture(scope="module")
def scene() -> Scene:
    random = torch.Generator().manual_seed(0)
    sam = bundled_sam(GRID)
    with torch.inference_mode():
        features_1Chw = 0.3 * torch.randn(1, 256, GRID, GRID, generator=random)
        side = crop_side(sam, features_1Chw)
        features_PC = features_1Chw[0].flatten(1).T
        fused = {dtype: ImageSideMaps(sam, dtype).of(features_PC) for dtype in (HALF, FULL)}
        tokens_BTC = torch.randn(B, T, 256, generator=random)
        block0, block1 = sam.mask_decoder.transformer.blocks()
        first = token_values(block0.cross_attn_image_to_token, tokens_BTC, tokens_BTC)
        second = token_values(block1.cross_attn_image_to_token, tokens_BTC, tokens_BTC)
        after_first = tokens_after_first(side, first, block0.norm4.eps)
        after_second = tokens_after_second(side, after_first, first, second, block1.norm4.eps)
        maps = TokenMaps.of(sam)
    return Scene(sam, side, fused, maps, tokens_BTC, first, second, after_first, after_second)


def assert_near(ours: torch.Tensor, theirs: torch.Tensor, relative: float) -> None:
    """The largest difference must be below `relative` of the largest value."""
    assert ours.shape == theirs.shape
    off = float((ours.float() - theirs).abs().max() / theirs.abs().max())
    assert off < relative, off


def rows_of(values_BRN: torch.Tensor) -> torch.Tensor:
    """The 7 tokens of each head, [B, 56 or 112, N], without the padding rows."""
    return values_BRN.unflatten(1, (-1, 8))[:, :, :7].flatten(1, 2)


def in_eights(values_BRP: torch.Tensor, dtype: torch.dtype = FULL) -> torch.Tensor:
    """[B, 56 k, P] in the kernels' layout: positions first, each head with a padding row."""
    by_head = values_BRP.unflatten(1, (-1, 7))
    return torch.nn.functional.pad(by_head, (0, 0, 0, 1)).flatten(1, 2).mT.to(dtype).contiguous()


def error_of(dtype: torch.dtype, in_half: float) -> float:
    """The largest error that a result may have."""
    return in_half if dtype == HALF else EXACT


@triton.jit
def gelu_kernel(x, out, EXACT: tl.constexpr):
    n = tl.arange(0, 1024)
    tl.store(out + n, twice_gelu(tl.load(x + n), EXACT))


@pytest.mark.parametrize(("is_exact", "error"), [(True, 1e-6), (False, 3e-4)])
def test_gelu(is_exact: bool, error: float) -> None:
    x = torch.linspace(-12, 12, 1024)
    twice = torch.empty_like(x)
    gelu_kernel[(1,)](x, twice, EXACT=is_exact)
    assert float((twice / 2 - torch.nn.functional.gelu(x)).abs().max()) < error


@in_both
def test_the_side_is_an_affine_map(scene: Scene, dtype: torch.dtype) -> None:
    side, fused, error = scene.side, scene.fused[dtype], error_of(dtype, 1e-3)
    assert fused.dtype == dtype
    assert_near(fused.key0_hPd, side.key0_hdP.mT, 1e-5)
    assert_near(fused.value0_hPd, side.value0_hdP.mT, error)
    for ours, theirs in (
        (fused.query0_PD, side.query0_hdP),
        (fused.x_out0_PD, side.x_out0_hdP),
        (fused.look1.key_PD, side.key1.x_hdP),
        (fused.query1_PD, side.query1.x_hdP),
        (fused.query1_constant_PD, side.query1.constant_hdP),
        (fused.x_gain_out0_PD, side.x_gain_out0_hdP),
        (fused.x_out1_PD, side.x_out1_hdP),
        (fused.look1.value_PD, side.value1.x_hdP),
        (fused.look2.key_PD, side.key2.x_hdP),
        (fused.look2.value_PD, side.value2.x_hdP),
        (fused.upscaling_PN, side.upscaling.x_hdP),
    ):
        assert ours.dtype == dtype
        assert_near(ours, theirs.flatten(0, 1).T, error)
    for look_side, key in ((fused.look1, side.key1), (fused.look2, side.key2)):
        constant_PD = key.constant_hdP.flatten(0, 1).T
        assert_near(look_side.key_constant_PD, constant_PD - constant_PD.mean(0), error)
    assert_near(fused.square0_P, side.square0_P, 1e-5)
    assert_near(fused.square1_P, side.square1_P, 1e-5)
    assert_near(fused.x_shift1_P, side.x_shift1_P, 1e-5)


@in_both
@torch.inference_mode()
def test_first_look(scene: Scene, dtype: torch.dtype) -> None:
    attention = scene.sam.mask_decoder.transformer.blocks()[0].cross_attn_token_to_image
    query_hND = scene.projected(attention.q_proj).view(B * T, 8, 16).transpose(0, 1) * SCORE_SCALE
    seen_ND = first_look(query_hND.contiguous(), scene.fused[dtype].key0_hPd, scene.fused[dtype].value0_hPd)
    query_BhTd = queries(attention, scene.tokens_BTC)
    theirs = merged(attended(query_BhTd, scene.side.key0_hdP, scene.side.value0_hdP))
    assert_near(seen_ND.view(B, T, 128), theirs, error_of(dtype, 1e-3))


@in_both
@torch.inference_mode()
def test_grams(scene: Scene, dtype: torch.dtype) -> None:
    values_BRC = scene.after_first.values_BRC
    ours = gram(scene.added(1), scene.maps, dtype)
    assert_near(rows_of(rows_of(ours).mT), values_BRC @ values_BRC.mT, error_of(dtype, 1e-3))
    values_BRC = scene.after_second.values_BRC
    theirs_BFF = values_BRC @ values_BRC.mT
    # the upper right quarter is not written
    ours = gram(scene.added(2), scene.maps, dtype)
    lower, corner = ours[:, 64:], ours[:, :64, :64]
    assert_near(rows_of(rows_of(corner).mT), theirs_BFF[:, :56, :56], error_of(dtype, 1e-3))
    assert_near(rows_of(rows_of(lower).mT).mT, theirs_BFF[:, 56:112, :112], error_of(dtype, 1e-3))
    assert_near(rows_of(ours[:, :, 7:8]), theirs_BFF[:, :112, 112:], error_of(dtype, 1e-3))
    assert_near(ours[:, 7, 7], theirs_BFF[:, 112, 112], error_of(dtype, 1e-3))


@in_both
@torch.inference_mode()
def test_positions_after_first(scene: Scene, dtype: torch.dtype) -> None:
    eps = scene.sam.mask_decoder.transformer.blocks()[0].norm4.eps
    key_BTD = scene.projected(scene.attention0.k_proj)
    added = scene.added(1)
    gram_BRR = gram(added, scene.maps, dtype)
    factors, scale = positions_after_first(scene.fused[dtype], key_BTD, added.first_BTD, gram_BRR, eps)
    assert_near(scale, scene.after_first.scale_BP, error_of(dtype, 2e-3))
    assert_near(factors, in_eights(scene.after_first.factors_BRP), error_of(dtype, 3e-3))


@in_both
@torch.inference_mode()
def test_positions_after_second(scene: Scene, dtype: torch.dtype) -> None:
    eps = scene.sam.mask_decoder.transformer.blocks()[1].norm4.eps
    key_BTD = scene.projected(scene.attention1.k_proj)
    both = scene.added(2)
    factors, scale = positions_after_second(
        scene.fused[dtype],
        key_BTD,
        both,
        mix(key_BTD, scene.added(1), scene.maps.query1, dtype),
        gram(both, scene.maps, dtype),
        in_eights(scene.after_first.factors_BRP, dtype),
        scene.after_first.scale_BP,
        eps,
    )
    assert_near(scale, scene.after_second.scale_BP, error_of(dtype, 2e-3))
    theirs = in_eights(scene.after_second.factors_BRP[:, :112])
    theirs[:, :, 7] = scene.after_second.factors_BRP[:, 112]
    theirs[:, :, 15] = 1
    assert_near(factors, theirs, error_of(dtype, 3e-3))


@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("splits", [1, 2])
@pytest.mark.parametrize("prompts", [1, 2])
@in_both
@torch.inference_mode()
def test_looks(
    scene: Scene,
    blocks: int,
    splits: int,
    prompts: int,
    dtype: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for key, tuning in look_module.TUNING.items():
        monkeypatch.setitem(look_module.TUNING, key, replace(tuning, prompts=prompts))
    monkeypatch.setattr(look_module, "LEAST_POSITIONS", GRID * GRID // splits)
    transformer, side, maps = scene.sam.mask_decoder.transformer, scene.side, scene.maps
    if blocks == 1:
        attention, tokens = transformer.blocks()[1].cross_attn_token_to_image, scene.after_first
        key, value, key_map, value_map = side.key1, side.value1, maps.key1, maps.value1
        look_side, constant_D = scene.fused[dtype].look1, maps.value1_constant_D
        factors = in_eights(tokens.factors_BRP, dtype)
    else:
        attention, tokens = transformer.final_attn_token_to_image, scene.after_second
        key, value, key_map, value_map = side.key2, side.value2, maps.key2, maps.value2
        look_side, constant_D = scene.fused[dtype].look2, maps.value2_constant_D
        factors = in_eights(tokens.factors_BRP[:, :112], dtype)
        factors[:, :, 7] = tokens.factors_BRP[:, 112]
        factors[:, :, 15] = 1
    added, query_BTD = scene.added(blocks), scene.projected(attention.q_proj)
    mixed = mix(query_BTD, added, key_map, dtype)
    sums = look(look_side, query_BTD, mixed, factors, tokens.scale_BP)
    seen_BTD = seen_values(sums, added, value_map, constant_D)
    weights = projected_scores(tokens, queries(attention, scene.tokens_BTC), key).softmax(-1)
    assert_near(seen_BTD, merged(projected_sum(tokens, weights, value)), error_of(dtype, 5e-3))
    alone = look(look_side, query_BTD[:1], mixed[:1], factors[:1], tokens.scale_BP[:1])
    assert_near(alone.shared_BRd, sums.shared_BRd[:1], error_of(dtype, 1e-3))


@in_both
@torch.inference_mode()
def test_values_for_the_upscaling(scene: Scene, dtype: torch.dtype) -> None:
    upscaling, values_BRC = scene.side.upscaling, scene.after_second.values_BRC
    ours = upscaling_values(scene.added(2), scene.maps, dtype)
    theirs = values_BRC @ upscaling.weight_CD
    assert_near(rows_of(ours), theirs[:, :112], error_of(dtype, 1e-3))
    assert_near(ours[:, 7], theirs[:, 112], error_of(dtype, 1e-3))
    assert_near(ours[:, 15], upscaling.constant_hdP.flatten().expand(B, -1), error_of(dtype, 1e-3))
    assert_near(centred(values_BRC), values_BRC, 1e-5)  # what all Gram matrices rest on
