"""vit_b at a thousandth of its size: one module of each kind that has another name at Hugging Face."""

import pytest
import torch
from torch import Tensor

from sam_core.model.build import build_sam
from sam_core.model.presets import PRESETS, SamPreset, VitPreset

SMALL = SamPreset(
    VitPreset(16, depth=2, num_heads=2, global_attn_indexes=(1,), img_size=64, out_chans=16),
    decoder_num_heads=2,
    decoder_mlp_dim=16,
    iou_head_hidden_dim=8,
)


@pytest.fixture
def small_vit_b(monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """The state dict of a small vit_b with random weights, used instead of the real one."""
    monkeypatch.setitem(PRESETS, "vit_b", SMALL)
    torch.manual_seed(0)
    return build_sam(SMALL).state_dict()
