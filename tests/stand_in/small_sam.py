"""Models for tests that need many: a small one, and the bundled one with a smaller input square."""

import torch

from sam_core.model.build import build_sam
from sam_core.model.presets import SamPreset, TinyVitPreset, VitPreset
from sam_core.model.sam import Sam
from sam_core.model.tiny_vit import TinyViT
from sam_core.weights.registry import load_sam

SMALL = SamPreset(
    VitPreset(32, depth=1, num_heads=4, global_attn_indexes=(0,), img_size=64, window_size=3, out_chans=32),
    decoder_num_heads=4,
    decoder_mlp_dim=48,
)


def small_sam() -> Sam:
    """A model with the same random weights each time; torch's smaller default would make all pixels alike."""
    torch.manual_seed(0)
    sam = build_sam(SMALL)
    with torch.no_grad():
        for parameter in sam.parameters():
            if parameter.ndim > 1:
                parameter *= 3
    return sam


def small_tiny_vit(preset: TinyVitPreset) -> TinyViT:
    """An encoder with the same random weights each time."""
    torch.manual_seed(0)
    encoder = TinyViT(preset).eval()
    for name, tensor in encoder.state_dict().items():
        if "running_var" in name:
            tensor.uniform_(0.5, 1.5)
        elif tensor.is_floating_point():
            tensor.normal_(0, 0.3)
    return encoder


def bundled_sam(grid: int) -> Sam:
    """The bundled weights for a square of 16 x grid pixels a side, which gives grid x grid positions."""
    sam = load_sam().sam
    sam.image_encoder.img_size = 16 * grid
    sam.prompt_encoder.image_embedding_size = (grid, grid)
    sam.prompt_encoder.input_image_size = (16 * grid, 16 * grid)
    return sam
