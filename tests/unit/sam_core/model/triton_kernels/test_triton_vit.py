"""The ViT encoder in half precision against ours in float32, and its kernels against plain torch."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam_core.model.attention import ViTAttention, position_attention, relative_positions
from sam_core.model.image_encoder import ImageEncoderViT
from sam_core.model.presets import PRESETS as PUBLISHED
from sam_core.model.presets import VitPreset
from sam_core.model.tiny_vit import TinyViT
from sam_core.model.triton.global_attention import global_attention
from sam_core.model.triton.half_encoder import half_encoder, half_encoder_serves
from sam_core.model.triton.half_vit import HalfVit
from sam_core.model.triton.heads import Heads
from sam_core.model.triton.layer_norm import Copied, Norm, layer_norm
from sam_core.model.triton.relative_positions import global_terms, window_terms
from sam_core.model.triton.window_attention import window_attention

# A map of 16 x 16 tokens, whose windows of 6 need padding.
PRESET = VitPreset(
    32, depth=2, num_heads=1, global_attn_indexes=(1,), img_size=256, window_size=6, out_chans=16
)
WINDOWS = VitPreset(
    32, depth=1, num_heads=1, global_attn_indexes=(), img_size=64, window_size=3, out_chans=16
)
UNSERVED = {
    "no relative position": VitPreset(64, 1, 2, (), img_size=256, use_rel_pos=False),
    "a head of 10 channels": VitPreset(30, 1, 3, (), img_size=256),
    "a map of 12 x 12 in a global block": VitPreset(64, 1, 2, (0,), img_size=192),
}


def error(ours: Tensor, expected: Tensor) -> float:
    """Norm of the difference, relative to the norm of the expected values."""
    return float((ours.float() - expected.float()).norm() / expected.float().norm())


def trained_like(module: nn.Module) -> nn.Module:
    """Random weights with scores, position terms and norms as large as in a trained model."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, value in module.named_parameters():
            value.normal_(0, 0.15 if value.dim() < 2 or "rel_pos" in name else 1.2 / value[0].numel() ** 0.5)
            if "norm" in name and name.endswith("weight"):
                value += 1
    return module.eval()


@pytest.fixture(autouse=True)
def _plain(one_thread: None) -> None:
    torch.manual_seed(1)


@pytest.mark.parametrize("width", [16, 80, 1280])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_layer_norm_adds_normalises_and_copies(width: int, dtype: torch.dtype) -> None:
    tokens = 67
    x, y = torch.randn(tokens, width) * 3 + 40, torch.randn(tokens, width).to(dtype)
    norm = Norm(torch.randn(width), torch.randn(width), 1e-6)
    source, target = torch.randn(300), torch.zeros(300)
    total = x + y
    expected = F.layer_norm(total, (width,), norm.weight_C, norm.bias_C, norm.eps)
    out = torch.empty(tokens, width, dtype=dtype)
    layer_norm(x, y, norm, out, Copied(source, target))
    assert torch.equal(x, total)
    assert torch.equal(source, target)
    torch.testing.assert_close(
        out.float(), expected, atol=1e-4 if dtype == torch.float32 else 5e-3, rtol=1e-3
    )


@pytest.mark.parametrize(
    ("B", "H", "heads", "size", "window"),
    [
        (1, 16, 1, 64, 0),
        (1, 16, 1, 80, 0),
        (2, 8, 2, 32, 6),
        (1, 8, 1, 64, 6),
        (1, 8, 1, 80, 6),
        (1, 8, 1, 80, 14),  # more keys than a block holds
        (1, 8, 1, 80, 8),  # as many as a block holds
    ],
)
@torch.no_grad()
def test_attention(B: int, H: int, heads: int, size: int, window: int) -> None:
    C = heads * size
    attn = trained_like(ViTAttention(C, heads, H, window, True))
    attn.proj.weight.copy_(torch.eye(C))
    attn.proj.bias.zero_()
    x = torch.randn(B, H, H, C)
    qkv = torch.cat([attn.qkv(x).flatten(0, 2), attn.qkv.bias[None]]).half()
    tables = [relative_positions(window or H, table) for table in (attn.rel_pos_h, attn.rel_pos_w)]
    tables_2SSD = torch.stack(tables).half()
    out = torch.full((B * H * H, C), torch.nan, dtype=torch.float16)
    layout = Heads.by_part(heads, size)
    if window:
        terms = window_terms(qkv, tables_2SSD, (B, H, H), layout)
        window_attention(qkv, terms, out, (B, H, H), window, layout)
    else:
        terms = global_terms(qkv, tables_2SSD, (B, H, H), layout)
        global_attention(qkv, terms, out, (B, H, H), layout)
    assert 0 < error(out.view(B, H, H, C), attn(x)) < 2e-3


@torch.no_grad()
def test_windows_on_a_map_that_is_not_square() -> None:
    B, H, W, S, D = 2, 5, 19, 7, 32
    attn = trained_like(ViTAttention(D, 1, H, S, True))
    attn.proj.weight.copy_(torch.eye(D))
    attn.proj.bias.zero_()
    x = torch.randn(B, H, W, D)
    qkv = torch.cat([attn.qkv(x).flatten(0, 2), attn.qkv.bias[None]]).half()
    tables = [relative_positions(S, table) for table in (attn.rel_pos_h, attn.rel_pos_w)]
    out = torch.full((B * H * W, D), torch.nan, dtype=torch.float16)
    heads = Heads.by_part(1, D)
    terms = window_terms(qkv, torch.stack(tables).half(), (B, H, W), heads)
    window_attention(qkv, terms, out, (B, H, W), S, heads)
    assert 0 < error(out.view(B, H, W, D), attn(x)) < 2e-3


@torch.no_grad()
def test_the_position_term_decides_where_it_is_large() -> None:
    B, H, D = 1, 16, 32
    q, k, v = torch.randn(3, B, 1, H, H, D).half()
    tables = 2 * torch.randn(2, H, H, D).half()
    qkv = torch.stack([q, k, v], dim=-2).reshape(H * H, 3 * D)
    heads = Heads.by_head(1, D)
    out = torch.empty(H * H, D, dtype=torch.float16)
    global_attention(qkv, global_terms(qkv, tables, (B, H, H), heads), out, (B, H, H), heads)
    expected = position_attention(q.float(), k.float(), v.float(), *tables.float())
    assert 0 < error(out, expected[0, 0]) < 5e-3


@torch.no_grad()
def test_embeddings() -> None:
    encoder = trained_like(ImageEncoderViT(PRESET))
    images = torch.randn(2, 3, 256, 256)
    assert half_encoder_serves(encoder)
    ours, expected = half_encoder(encoder)(images), encoder(images)
    assert ours.dtype == torch.float32
    assert ours.shape == expected.shape
    assert 0 < error(ours, expected) < 2e-3


@pytest.mark.filterwarnings("ignore:All-NaN slice")
@torch.no_grad()
def test_overflow_shows_in_the_features() -> None:
    encoder = trained_like(ImageEncoderViT(WINDOWS))
    encoder.blocks[0].mlp.lin1.weight *= 1e5
    encoder.blocks[0].mlp.lin2.weight *= 1e-5
    images = torch.randn(1, 3, 64, 64)
    assert encoder(images).isfinite().all()
    assert not HalfVit(encoder)(images).isfinite().all()


@pytest.mark.parametrize("preset", UNSERVED.values(), ids=UNSERVED.keys())
def test_what_the_kernels_cannot_take_is_said(preset: VitPreset) -> None:
    encoder = ImageEncoderViT(preset)
    assert not half_encoder_serves(encoder)
    with pytest.raises(ValueError, match="do not support"):
        half_encoder(encoder)


def test_all_published_encoders_are_taken() -> None:
    with torch.device("meta"):
        for preset in PUBLISHED.values():
            encoder = preset.encoder
            model = ImageEncoderViT(encoder) if isinstance(encoder, VitPreset) else TinyViT(encoder)
            assert half_encoder_serves(model)


def test_a_heads_channels_in_powers_of_two() -> None:
    pieces = {size: Heads.by_part(1, size).pieces for size in (8, 16, 24, 32, 64, 80, 96, 128)}
    assert pieces == {
        8: (16, 0),
        16: (16, 0),
        24: (16, 16),
        32: (32, 0),
        64: (64, 0),
        80: (64, 16),
        96: (64, 32),
        128: (128, 0),
    }
