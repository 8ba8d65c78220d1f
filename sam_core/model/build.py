"""A `Sam` with the sizes of a preset."""

import torch

from sam_core.model.image_encoder import ImageEncoderViT
from sam_core.model.mask_decoder import MaskDecoder
from sam_core.model.presets import SamPreset, VitPreset
from sam_core.model.prompt_encoder import PromptEncoder
from sam_core.model.sam import Sam
from sam_core.model.tiny_vit import TinyViT
from sam_core.model.transformer import TwoWayTransformer


def build_sam(preset: SamPreset) -> Sam:
    """The model with random weights, in inference mode."""
    encoder = preset.encoder
    dim = encoder.out_chans
    transformer = TwoWayTransformer(
        preset.decoder_depth, dim, preset.decoder_num_heads, preset.decoder_mlp_dim
    )
    sam = Sam(
        image_encoder=ImageEncoderViT(encoder) if isinstance(encoder, VitPreset) else TinyViT(encoder),
        prompt_encoder=PromptEncoder(
            embed_dim=dim,
            image_embedding_size=(encoder.grid_size, encoder.grid_size),
            input_image_size=(encoder.img_size, encoder.img_size),
            mask_in_chans=preset.mask_in_chans,
        ),
        mask_decoder=MaskDecoder(
            transformer_dim=dim,
            transformer=transformer,
            num_multimask_outputs=preset.num_multimask_outputs,
            iou_head_depth=preset.iou_head_depth,
            iou_head_hidden_dim=preset.iou_head_hidden_dim,
        ),
    )
    return sam.eval()


def empty_sam(preset: SamPreset) -> Sam:
    """The model without weights, for `load_state_dict(..., assign=True)`; uses no memory."""
    with torch.device("meta"):
        return build_sam(preset)


def tensor_shapes(preset: SamPreset) -> dict[str, torch.Size]:
    """Shape of every tensor in the model's state dict, by its official name."""
    return {name: tensor.shape for name, tensor in empty_sam(preset).state_dict().items()}
