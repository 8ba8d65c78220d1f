"""The original package beside ours: torchvision's stand-in, and weights that both share."""

import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

# segment-anything imports torchvision and OpenCV, and needs only the functions in these stand-ins. They are
# last in the path, so that installed packages are used first, and only for a moment: other packages look
# whether torchvision is there, and would think that the stand-in is the whole package.
STAND_IN = str(Path(__file__).parent / "stand_in")
sys.path.append(STAND_IN)
for name in ("cv2", "segment_anything"):
    import_module(name)
sys.path.remove(STAND_IN)
for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
    if STAND_IN in str(sys.modules[name].__spec__):
        del sys.modules[name]

Twins = Callable[[nn.Module, nn.Module], None]


@pytest.fixture
def same_weights() -> Twins:
    """A function that gives two modules the same random weights, and fails if their keys differ."""

    def share(ours: nn.Module, original: nn.Module) -> None:
        generator = torch.Generator().manual_seed(0)
        # Not too small: zero-initialised parts such as position tables must show up in the outputs.
        state = {
            name: torch.randn(tensor.shape, generator=generator) * 0.3 + 0.1
            for name, tensor in original.state_dict().items()
        }
        original.load_state_dict(state, strict=True)
        ours.load_state_dict(state, strict=True)
        original.eval()
        ours.eval()

    return share


@pytest.fixture
def original_encoder() -> Callable[..., nn.Module]:
    """The original's ImageEncoderViT in the sizes of one of our presets."""
    from segment_anything.modeling import ImageEncoderViT

    def build(preset: Any) -> nn.Module:
        return ImageEncoderViT(
            img_size=preset.img_size,
            patch_size=preset.patch_size,
            embed_dim=preset.embed_dim,
            depth=preset.depth,
            num_heads=preset.num_heads,
            mlp_ratio=preset.mlp_ratio,
            out_chans=preset.out_chans,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_abs_pos=preset.use_abs_pos,
            use_rel_pos=preset.use_rel_pos,
            window_size=preset.window_size,
            global_attn_indexes=preset.global_attn_indexes,
        )

    return build


@pytest.fixture
def original_sam(original_encoder: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """The original's Sam in the sizes of one of our presets."""
    from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    def build(preset: Any) -> nn.Module:
        encoder, dim = preset.encoder, preset.encoder.out_chans
        return Sam(
            image_encoder=original_encoder(encoder),
            prompt_encoder=PromptEncoder(
                embed_dim=dim,
                image_embedding_size=(encoder.grid_size, encoder.grid_size),
                input_image_size=(encoder.img_size, encoder.img_size),
                mask_in_chans=preset.mask_in_chans,
            ),
            mask_decoder=MaskDecoder(
                num_multimask_outputs=preset.num_multimask_outputs,
                transformer=TwoWayTransformer(
                    depth=preset.decoder_depth,
                    embedding_dim=dim,
                    num_heads=preset.decoder_num_heads,
                    mlp_dim=preset.decoder_mlp_dim,
                ),
                transformer_dim=dim,
                iou_head_depth=preset.iou_head_depth,
                iou_head_hidden_dim=preset.iou_head_hidden_dim,
            ),
        )

    return build


@pytest.fixture
def segment_anything() -> ModuleType:
    """The original package."""
    import segment_anything

    return segment_anything
