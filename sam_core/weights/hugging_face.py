"""Converts Hugging Face's names for SAM's tensors to the official names.

`transformers.SamModel` renames modules and shares one positional matrix between two of them; the tensors are
the same. Newer versions save the shared tensor once, older versions under both names.
"""

import re
from collections.abc import Mapping

from torch import Tensor

# Applied in this order to each name; a rule that does not match changes nothing.
RULES = (
    (r"^vision_encoder\.", "image_encoder."),
    (r"^image_encoder\.layers\.", "image_encoder.blocks."),
    (r"\.patch_embed\.projection\.", ".patch_embed.proj."),
    (r"\.neck\.conv1\.", ".neck.0."),
    (r"\.neck\.layer_norm1\.", ".neck.1."),
    (r"\.neck\.conv2\.", ".neck.2."),
    (r"\.neck\.layer_norm2\.", ".neck.3."),
    (r"\.shared_embedding\.positional_embedding$", ".pe_layer.positional_encoding_gaussian_matrix"),
    (r"\.point_embed\.", ".point_embeddings."),
    (r"\.mask_embed\.conv1\.", ".mask_downscaling.0."),
    (r"\.mask_embed\.layer_norm1\.", ".mask_downscaling.1."),
    (r"\.mask_embed\.conv2\.", ".mask_downscaling.3."),
    (r"\.mask_embed\.layer_norm2\.", ".mask_downscaling.4."),
    (r"\.mask_embed\.conv3\.", ".mask_downscaling.6."),
    (r"\.upscale_conv1\.", ".output_upscaling.0."),
    (r"\.upscale_layer_norm\.", ".output_upscaling.1."),
    (r"\.upscale_conv2\.", ".output_upscaling.3."),
    (r"^(mask_decoder\.(?:iou_|output_).*)\.proj_out\.", r"\1.layers.2."),
    (r"^(mask_decoder\.(?:iou_|output_).*)\.layers\.0\.", r"\1.layers.1."),
    (r"^(mask_decoder\.(?:iou_|output_).*)\.proj_in\.", r"\1.layers.0."),
    (r"\.layer_norm(\d|_final_attn)", r".norm\1"),
)
SHARED_MATRIX = "shared_image_embedding.positional_embedding"
OFFICIAL_MATRIX = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"


def is_hugging_face(names: Mapping[str, Tensor]) -> bool:
    """Whether the state dict has SamModel's naming."""
    return any(name.startswith("vision_encoder.") for name in names)


def official_names(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict under the official names."""
    official = {official_name(name): tensor for name, tensor in state_dict.items() if name != SHARED_MATRIX}
    if SHARED_MATRIX in state_dict:
        official.setdefault(OFFICIAL_MATRIX, state_dict[SHARED_MATRIX])
    return official


def official_name(name: str) -> str:
    """The official name of one tensor."""
    for pattern, replacement in RULES:
        name = re.sub(pattern, replacement, name)
    return name
