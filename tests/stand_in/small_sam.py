"""Models for tests that run them by the dozen: a small one, and the bundled one on a smaller square."""

import torch

from sam_core.model.build import build_sam
from sam_core.model.presets import SamPreset, VitPreset
from sam_core.model.sam import Sam
from sam_core.weights.registry import load_sam

SMALL = SamPreset(
    VitPreset(32, depth=1, num_heads=4, global_attn_indexes=(0,), img_size=64, window_size=3, out_chans=32),
    decoder_num_heads=4,
    decoder_mlp_dim=48,
)


def small_sam() -> Sam:
    """The same random weights each time; with torch's own, smaller ones all pixels say nearly the same."""
    torch.manual_seed(0)
    sam = build_sam(SMALL)
    with torch.no_grad():
        for parameter in sam.parameters():
            if parameter.ndim > 1:
                parameter *= 3
    return sam


def bundled_sam(grid: int) -> Sam:
    """The bundled weights for a square of 16 x grid pixels a side, of which grid x grid positions come."""
    sam = load_sam().sam
    sam.image_encoder.img_size = 16 * grid
    sam.prompt_encoder.image_embedding_size = (grid, grid)
    sam.prompt_encoder.input_image_size = (16 * grid, 16 * grid)
    return sam
