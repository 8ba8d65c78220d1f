"""Recognises models that users mistake for SAM by tensor names that only those models use."""

import re
from collections.abc import Iterable

# From the specific to the general: the first pattern that matches any tensor's name decides.
BY_TENSOR = tuple(
    (re.compile(pattern), model)
    for pattern, model in (
        (
            r"lora_[AB]|linear_[ab]_[qv]|_Adapter\.|prompt_generator\.",
            "SAM with an adapter that is not merged",
        ),
        (r"(^|\.)(hf_token|hq_token|hf_mlp|hq_mask_mlp)\b", "a SAM-HQ checkpoint"),
        (r"(detector|tracker)\.(backbone|model)\.|(detector|tracker)_model\.", "a SAM 3 checkpoint"),
        (r"(geometry|detr)_encoder\.|vision_encoder\.backbone\.embeddings\.", "a SAM 3 checkpoint"),
        (r"spatial_perceiver\.", "an EdgeTAM checkpoint"),
        (r"no_obj_embed_spatial|obj_ptr_tpos_proj|occlusion_spatial_embedding", "a SAM 2.1 checkpoint"),
        (r"sam_mask_decoder\.|image_encoder\.trunk\.|vision_encoder\.backbone\.", "a SAM 2 checkpoint"),
        (r"bbox_top_left_embeddings", "an EfficientSAM checkpoint"),
        (r"image_encoder\.backbone\.|^backbone\.input_stem\.", "an EfficientViT-SAM checkpoint"),
        (r"image_encoder\.(features|fuse_stage\d)\.", "an EdgeSAM or RepViT-SAM checkpoint"),
        (r"^(PromtEncoder|MaskDecoder)\.", "MobileSAMv2's decoder alone"),
        (r"^model\.\d+\.(conv|cv\d|m\.\d+)\.", "a YOLO or FastSAM checkpoint"),
    )
)
# Recognised by the pickled classes that a file names.
BY_CLASS = ((re.compile(r"(ultralytics|models\.yolo)\."), "a YOLO or FastSAM checkpoint"),)
# Tensors of these have SAM's names and shapes, so only the file's name distinguishes them.
BY_FILE_NAME = {
    "lite_medsam.pth": "by its name a MedSAM-Lite checkpoint, which was trained for images of 256 pixels"
}


def other_model(tensor_names: Iterable[str], file_name: str) -> str | None:
    """What the checkpoint is if it belongs to another model, or None if nothing indicates that."""
    names = list(tensor_names)
    for pattern, model in BY_TENSOR:
        if any(pattern.search(name) for name in names):
            return model
    return BY_FILE_NAME.get(file_name)


def other_model_of_class(name: str) -> str | None:
    """What a checkpoint with a pickled object of this class is, or None if the class is unknown."""
    return next((model for pattern, model in BY_CLASS if pattern.match(name)), None)
