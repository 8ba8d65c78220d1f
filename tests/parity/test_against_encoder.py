"""Our ImageEncoderViT compared with the original's on small random configurations."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from sam_core.model.attention import relative_positions
from sam_core.model.image_encoder import ImageEncoderViT
from sam_core.model.presets import VitPreset

# 4 heads of 8 channels; a grid of 8 x 8 tokens
BASE = {"embed_dim": 32, "depth": 2, "num_heads": 4, "img_size": 64, "patch_size": 8, "out_chans": 16}
PRESETS = {
    "windows that need padding and a global block": VitPreset(
        **BASE, global_attn_indexes=(1,), window_size=3
    ),
    "windows that fit": VitPreset(**BASE, global_attn_indexes=(), window_size=4),
    "a window larger than the grid": VitPreset(**BASE, global_attn_indexes=(), window_size=14),
    "global blocks only": VitPreset(**BASE, global_attn_indexes=(0, 1), window_size=14),
    "no relative position": VitPreset(**BASE, global_attn_indexes=(1,), window_size=3, use_rel_pos=False),
    "no absolute position": VitPreset(**BASE, global_attn_indexes=(0,), window_size=5, use_abs_pos=False),
    "a head size that is no multiple of 8": VitPreset(
        embed_dim=30, depth=2, num_heads=3, img_size=64, patch_size=8, global_attn_indexes=(1,), window_size=3
    ),
}


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS.keys())
def test_embeddings(
    preset: VitPreset, original_encoder: Callable[..., nn.Module], same_weights: Callable[..., None]
) -> None:
    ours, original = ImageEncoderViT(preset), original_encoder(preset)
    same_weights(ours, original)
    images = torch.randn(2, 3, preset.img_size, preset.img_size)
    with torch.no_grad():
        assert_close(ours(images), original(images), atol=1e-4, rtol=1e-4)


def test_position_tables_are_resampled_for_another_input_size(
    original_encoder: Callable[..., nn.Module], same_weights: Callable[..., None]
) -> None:
    preset = VitPreset(**BASE, global_attn_indexes=(0, 1), window_size=3, use_abs_pos=False)
    ours, original = ImageEncoderViT(preset), original_encoder(preset)
    same_weights(ours, original)
    images = torch.randn(1, 3, 96, 40)  # 12 x 5 tokens where the tables were made for 8 x 8
    with torch.no_grad():
        assert_close(ours(images), original(images), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("length", [7, 13, 27, 29, 127])
def test_position_tables(length: int, segment_anything: object) -> None:
    from segment_anything.modeling.image_encoder import get_rel_pos

    table = torch.randn(length, 6)
    assert_close(relative_positions(14, table), get_rel_pos(14, 14, table))


def test_bfloat16_stays_close_and_keeps_the_residual_stream_in_float32() -> None:
    torch.manual_seed(0)
    encoder = ImageEncoderViT(PRESETS["windows that need padding and a global block"]).eval()
    images = torch.randn(1, 3, 64, 64)
    seen = []
    encoder.blocks[0].register_forward_hook(lambda _module, _inputs, out: seen.append(out.dtype))
    with torch.no_grad():
        exact = encoder(images)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = encoder(images)
    assert seen == [torch.float32, torch.float32]
    assert torch.nn.functional.cosine_similarity(rough.float().flatten(), exact.flatten(), dim=0) > 0.999
