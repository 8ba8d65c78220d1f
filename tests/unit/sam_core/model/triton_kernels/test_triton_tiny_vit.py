"""TinyViT in half precision against ours in float32, and its kernels against plain torch."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_sam import small_tiny_vit
from torch import Tensor
from torch.nn import functional as F

from sam_core.model.presets import TinyVitPreset
from sam_core.model.tiny_vit import ConvPatchEmbed, TinyViT, TinyViTAttention
from sam_core.model.triton import depthwise_convolution, window_attention
from sam_core.model.triton.depthwise_convolution import Depthwise
from sam_core.model.triton.first_convolution import convolution_taps, first_convolution
from sam_core.model.triton.gelu import gelu_of_sum
from sam_core.model.triton.half_encoder import half_encoder, half_encoder_serves
from sam_core.model.triton.heads import Heads
from sam_core.model.triton.window_attention import dense_bias, window_attention_with_bias
from sam_core.weights.registry import load_sam

PHOTOS = Path(__file__).parents[5] / "jobs" / "demo" / "photos"
# Grids of 5, 3, 2 and 2 positions: every stage pads its windows.
PRESET = TinyVitPreset(
    img_size=20,
    embed_dims=(32, 16, 48, 32),
    depths=(1, 2, 1, 1),
    num_heads=(1, 2, 2, 1),
    window_sizes=(7, 2, 3, 3),
    out_chans=12,
)


def error(ours: Tensor, expected: Tensor) -> float:
    """Norm of the difference, relative to the norm of the expected values."""
    return float((ours.float() - expected.float()).norm() / expected.float().norm())


@pytest.fixture(autouse=True)
def _plain(one_thread: None) -> None:
    torch.manual_seed(1)


@pytest.fixture
def few_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Larger tiles: the interpreter's time depends on the number of programs, not on their size."""
    monkeypatch.setattr(window_attention, "QUERIES", 256)
    monkeypatch.setattr(window_attention, "KEYS", 256)
    monkeypatch.setattr(depthwise_convolution, "CHANNELS", 1024)


@torch.no_grad()
def test_first_convolution() -> None:
    layers = ConvPatchEmbed(64).eval().seq[:2]
    images = torch.randn(2, 3, 5, 270)  # more positions than one program handles
    weight, bias = layers[0].folded()
    out = first_convolution(images, convolution_taps(weight), bias)
    torch.testing.assert_close(out.permute(0, 3, 1, 2), layers(images), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("stride", "gelu"), [(1, False), (2, True)])
def test_depthwise_convolution(stride: int, gelu: bool) -> None:
    C = 80  # more channels than one program handles
    x, weight, bias = torch.randn(2, 3, 35, C), torch.randn(C, 1, 3, 3), torch.randn(C)
    out = Depthwise.of(weight, bias, stride)(x, with_gelu=gelu)
    expected = F.conv2d(x.permute(0, 3, 1, 2), weight, bias, stride, padding=1, groups=C)
    expected = F.gelu(expected) if gelu else expected
    torch.testing.assert_close(out.permute(0, 3, 1, 2), expected, atol=1e-5, rtol=1e-5)


def test_gelu_of_a_sum() -> None:
    a, b = torch.randn(2, 3, 1001) * 3
    torch.testing.assert_close(gelu_of_sum(a, b), F.gelu(a + b), atol=1e-6, rtol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize(("window", "heads", "size"), [(7, 2, 32), (9, 1, 24)])
def test_attention_with_a_bias_of_each_pair(window: int, heads: int, size: int) -> None:
    B, H, W, C = 2, 5, 10, heads * size
    attn = TinyViTAttention(C, heads, window)
    attn.attention_biases.normal_(0, 2)
    attn.norm.bias.normal_()
    attn.proj.weight.copy_(torch.eye(C))
    attn.proj.bias.zero_()
    x = torch.randn(B, H, W, C)
    tokens = torch.cat([x.view(-1, C), torch.zeros(1, C)])
    qkv = attn.qkv(attn.norm(tokens)).half()
    out = torch.full((B * H * W, C), torch.nan, dtype=torch.float16)
    bias = dense_bias(attn.attention_biases[:, attn.attention_bias_idxs])
    window_attention_with_bias(qkv, bias, out, (B, H, W), window, Heads.by_head(heads, size))
    assert 0 < error(out.view(B, H, W, C), attn(x)) < 2e-3


@torch.no_grad()
def test_embeddings_of_a_small_random_model(few_programs: None) -> None:
    encoder = small_tiny_vit(PRESET)
    images = torch.randn(2, 3, 20, 20)
    ours, expected = half_encoder(encoder)(images), encoder(images)
    assert ours.dtype == torch.float32
    assert ours.shape == expected.shape
    assert 0 < error(ours, expected) < 5e-3


@torch.no_grad()
def test_embeddings_by_the_bundled_weights(few_programs: None) -> None:
    encoder = load_sam().sam.image_encoder
    photo = np.asarray(Image.open(PHOTOS / "coffee.jpg").convert("RGB"), np.float32)[100:132, 200:232]
    images = torch.from_numpy((photo - 115) / 58).permute(2, 0, 1)[None]
    assert half_encoder_serves(encoder)
    assert 0 < error(half_encoder(encoder)(images), encoder(images)) < 5e-3


def test_a_first_convolution_of_another_width_is_said() -> None:
    assert not half_encoder_serves(
        TinyViT(TinyVitPreset(embed_dims=(48, 16, 16, 16), num_heads=(1, 1, 1, 1)))
    )
