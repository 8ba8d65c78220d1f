"""Models that people mistake for SAM: the error says what the file is."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from sam_core.weights.checkpoint import read_checkpoint
from sam_core.weights.error import CheckpointError
from sam_core.weights.files import bundled_checkpoint
from sam_core.weights.other_models import other_model


def one(name: str) -> dict[str, Tensor]:
    return {"image_encoder.pos_embed": torch.zeros(1, 64, 64, 768), name: torch.zeros(1)}


# As the projects themselves save their models; the tensor names come from their sources.
OFFICIAL: dict[str, tuple[dict[str, Any], str]] = {
    "sam2_hiera_tiny.pt": (
        {"model": {"image_encoder.trunk.pos_embed": torch.zeros(1), "maskmem_tpos_enc": torch.zeros(1)}},
        "a SAM 2 checkpoint",
    ),
    "sam2.1_hiera_large.pt": (
        {"model": {"image_encoder.trunk.pos_embed": torch.zeros(1), "no_obj_embed_spatial": torch.zeros(1)}},
        "a SAM 2.1 checkpoint",
    ),
    "sam3.pt": (
        {"detector.backbone.vision_backbone.trunk.pos_embed": torch.zeros(1)},
        "a SAM 3 checkpoint",
    ),
    "sam_hq_vit_b.pth": (one("mask_decoder.hf_token.weight"), "a SAM-HQ checkpoint"),
    "epoch_1.pth": ({"hf_token.weight": torch.zeros(1)}, "a SAM-HQ checkpoint"),
    "efficient_sam_vitt.pt": (
        {"model": one("prompt_encoder.bbox_top_left_embeddings.weight")},
        "an EfficientSAM checkpoint",
    ),
    "efficientvit_sam_l0.pt": (
        {"image_encoder.backbone.input_stem.op_list.0.conv.weight": torch.zeros(1)},
        "an EfficientViT-SAM checkpoint",
    ),
    "edge_sam.pth": (one("image_encoder.fuse_stage2.weight"), "an EdgeSAM or RepViT-SAM checkpoint"),
    "Prompt_guided_Mask_Decoder.pt": (
        {"PromtEncoder": {"no_mask_embed.weight": torch.zeros(1)}, "MaskDecoder": {}},
        "MobileSAMv2's decoder alone",
    ),
    "lora.pth": (one("image_encoder.blocks.0.attn.qkv.linear_a_q.weight"), "SAM with an adapter"),
    "adapter.pth": (one("image_encoder.blocks.0.MLP_Adapter.D_fc1.weight"), "SAM with an adapter"),
    "yolo.pt": ({"model.0.conv.weight": torch.zeros(1)}, "a YOLO or FastSAM checkpoint"),
}


@pytest.mark.parametrize("file_name", OFFICIAL)
def test_another_project_s_checkpoint_is_named(file_name: str, tmp_path: Path) -> None:
    content, model = OFFICIAL[file_name]
    path = tmp_path / file_name
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=rf"{file_name} is {model}.*; choose a SAM or MobileSAM"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        ("Sam2", "a SAM 2 checkpoint"),
        ("Sam2Video", "a SAM 2.1 checkpoint"),
        ("Sam3Tracker", "a SAM 3 checkpoint"),
        ("SamHQ", "a SAM-HQ checkpoint"),
    ],
)
def test_hugging_face_s_other_models_are_named(kind: str, model: str) -> None:
    import transformers

    with torch.device("meta"):
        other = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")())
    assert other_model(other.state_dict(), "model.safetensors") == model


def test_sam_s_own_tensors_are_no_other_model_s() -> None:
    import transformers

    with torch.device("meta"):
        theirs = transformers.SamModel(transformers.SamConfig()).state_dict()
    ours = safetensors.torch.load_file(bundled_checkpoint())
    assert other_model([*theirs, *ours], "model.safetensors") is None


def test_medsam_lite_is_known_by_its_name_alone(tmp_path: Path) -> None:
    path = tmp_path / "lite_medsam.pth"
    torch.save(safetensors.torch.load_file(bundled_checkpoint()), path)
    with pytest.raises(CheckpointError, match="is by its name a MedSAM-Lite checkpoint"):
        read_checkpoint(path)


def test_a_pickled_yolo_model_is_named_and_not_unpickled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = ModuleType("ultralytics.nn.tasks")
    segmentation_model = type("SegmentationModel", (), {"__module__": tasks.__name__})
    tasks.SegmentationModel = segmentation_model  # type: ignore[attr-defined]
    for name in ("ultralytics", "ultralytics.nn", "ultralytics.nn.tasks"):
        monkeypatch.setitem(sys.modules, name, tasks)
    torch.save({"model": segmentation_model(), "epoch": -1}, tmp_path / "FastSAM-x.pt")
    with pytest.raises(CheckpointError, match=r"FastSAM-x\.pt is a YOLO or FastSAM checkpoint; choose"):
        read_checkpoint(tmp_path / "FastSAM-x.pt")
