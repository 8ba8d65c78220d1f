"""Checkpoints of every form load to the same model; bad ones are told apart in one sentence."""

import logging
import pickle
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
import safetensors.torch
import torch
from torch import Tensor

from sam_core.model.build import build_sam, tensor_shapes
from sam_core.model.presets import PRESETS, SamPreset, VitPreset
from sam_core.weights.checkpoint import CheckpointError, bundled_checkpoint, read_checkpoint, read_tensors
from sam_core.weights.hugging_face import official_names
from sam_core.weights.known import KNOWN_CHECKPOINTS
from sam_core.weights.registry import load_sam, sam_model_registry

# One module of each kind that Hugging Face names otherwise
SMALL = SamPreset(
    VitPreset(16, depth=2, num_heads=2, global_attn_indexes=(1,), img_size=64, out_chans=16),
    decoder_num_heads=2,
    decoder_mlp_dim=16,
)


@pytest.fixture(scope="module")
def bundled() -> dict[str, Tensor]:
    return safetensors.torch.load_file(bundled_checkpoint())


def test_the_bundled_weights_are_mobile_sam_raised_to_float32(bundled: dict[str, Tensor]) -> None:
    checkpoint = read_checkpoint(bundled_checkpoint())
    assert checkpoint.model_type == "vit_t"
    assert checkpoint.sha256 == "505afea72f8c3834ef9b70a7b62b6462d0a58c9d07b432231283b55671030038"
    assert {tensor.dtype for tensor in checkpoint.state_dict.values()} == {torch.float32, torch.int64}
    assert checkpoint.state_dict.keys() == bundled.keys()
    assert all(
        torch.equal(checkpoint.state_dict[name], bundled[name].to(t.dtype)) for name, t in bundled.items()
    )


def save_as_pth(state: dict[str, Tensor], path: Path) -> None:
    torch.save(state, path)


def save_as_old_pth(state: dict[str, Tensor], path: Path) -> None:
    torch.save(state, path, _use_new_zipfile_serialization=False)


def save_as_safetensors(state: dict[str, Tensor], path: Path) -> None:
    safetensors.torch.save_file(state, path)


@pytest.mark.parametrize("save", [save_as_pth, save_as_old_pth, save_as_safetensors])
def test_the_form_is_found_from_the_content(
    save: Callable[[dict[str, Tensor], Path], None],
    bundled: dict[str, Tensor],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "weights.bin"
    save(bundled, path)
    with caplog.at_level(logging.WARNING):
        loaded = load_sam(path)
    assert loaded.model_type == "vit_t"
    weight = "image_encoder.patch_embed.seq.0.c.weight"
    assert torch.equal(loaded.sam.state_dict()[weight], bundled[weight].float())
    assert loaded.sha256 in caplog.text  # unknown weights are reported, not refused


def test_tinyvits_classifier_and_constants_are_left_out(bundled: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "mine.pt"
    index = "image_encoder.layers.1.blocks.0.attn.attention_bias_idxs"
    unused = {
        "image_encoder.head.weight": torch.zeros(1000, 320),
        index: torch.zeros(49, 49, dtype=torch.int64),
    }
    torch.save({**bundled, **unused, "image_encoder.norm_head.bias": torch.zeros(320)}, path)
    assert read_checkpoint(path).state_dict.keys() == bundled.keys()


def hugging_face_name(official: str) -> str:
    """The name in SamModel, by a mapping of its own that goes the other way."""
    name = official.replace(
        "pe_layer.positional_encoding_gaussian_matrix", "shared_embedding.positional_embedding"
    )
    for part, renamed in {
        "mask_downscaling.0": "mask_embed.conv1",
        "mask_downscaling.1": "mask_embed.layer_norm1",
        "mask_downscaling.3": "mask_embed.conv2",
        "mask_downscaling.4": "mask_embed.layer_norm2",
        "mask_downscaling.6": "mask_embed.conv3",
        "output_upscaling.0": "upscale_conv1",
        "output_upscaling.1": "upscale_layer_norm",
        "output_upscaling.3": "upscale_conv2",
        "point_embeddings": "point_embed",
        "patch_embed.proj": "patch_embed.projection",
        "neck.0": "neck.conv1",
        "neck.1": "neck.layer_norm1",
        "neck.2": "neck.conv2",
        "neck.3": "neck.layer_norm2",
        ".norm": ".layer_norm",
        "blocks": "layers",
        "image_encoder": "vision_encoder",
    }.items():
        name = name.replace(part, renamed)
    if "iou_prediction_head" in name or "hypernetworks" in name:
        steps = {"0": "proj_in", "1": "layers.0", "2": "proj_out"}
        name = re.sub(r"layers\.(\d)", lambda match: steps[match[1]], name)
    return name


def hugging_face_state(official: dict[str, Tensor]) -> dict[str, Tensor]:
    state = {hugging_face_name(name): tensor for name, tensor in official.items()}
    duplicate = state["prompt_encoder.shared_embedding.positional_embedding"].clone()
    return {**state, "shared_image_embedding.positional_embedding": duplicate}


def test_hugging_face_names_are_turned_back() -> None:
    official = build_sam(SMALL).state_dict()
    renamed = hugging_face_state(official)
    assert "mask_decoder.iou_prediction_head.proj_in.weight" in renamed
    assert "mask_decoder.transformer.layer_norm_final_attn.bias" in renamed
    assert "vision_encoder.layers.0.attn.rel_pos_h" in renamed
    back = official_names(renamed)
    assert back.keys() == official.keys()
    assert all(back[name] is tensor for name, tensor in official.items())


def test_a_hugging_face_file_loads(tmp_path: Path) -> None:
    shapes = tensor_shapes(PRESETS["vit_b"])
    state = {name: torch.zeros(shape, dtype=torch.float16) for name, shape in shapes.items()}
    state["mask_decoder.iou_token.weight"] += 0.5
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file(hugging_face_state(state), path)
    loaded = load_sam(path)
    assert loaded.model_type == "vit_b"
    assert torch.equal(loaded.sam.mask_decoder.iou_token.weight, torch.full((1, 256), 0.5))


class Runs:
    """A pickle that would run code."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("run",)


def test_damaged_files_of_every_form_are_refused_or_read_and_never_crash(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    random = Random(0)
    for save in (save_as_pth, save_as_old_pth, save_as_safetensors):
        save({"a": torch.zeros(3), "b.c": torch.ones(2, 2)}, path)
        whole = path.read_bytes()
        for _ in range(100):
            damaged = bytearray(whole)
            for _ in range(random.randint(1, 4)):
                damaged[random.randrange(len(damaged))] = random.randrange(256)
            path.write_bytes(damaged)
            with suppress(CheckpointError):
                read_tensors(path)


def write_bad_file(kind: str, state: dict[str, Tensor], path: Path) -> None:
    whole = bundled_checkpoint().read_bytes()
    if kind == "page":
        path.write_text("<!DOCTYPE html><title>404</title>")
    elif kind == "cut-off safetensors":
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "cut-off header":
        path.write_bytes(whole[:20])
    elif kind == "cut-off pth":
        torch.save(state, path)
        path.write_bytes(path.read_bytes()[:-100_000])
    elif kind == "cut-off old pth":
        torch.save(state, path, _use_new_zipfile_serialization=False)
        path.write_bytes(path.read_bytes()[:-100_000])
    elif kind == "zip":
        path.write_bytes(b"PK\x03\x04" + bytes(100))
    elif kind == "code":
        torch.save({"weights": Runs()}, path)
    elif kind == "old code":
        path.write_bytes(pickle.dumps(Runs(), protocol=2))
    elif kind == "nested":
        torch.save({"model": state}, path)
    elif kind == "list":
        torch.save(list(state.values()), path)
    elif kind == "other model":
        torch.save({"conv1.weight": torch.zeros(3)}, path)
    elif kind == "no tensors":
        torch.save({}, path)
    elif kind == "tensor missing":
        torch.save({name: t for name, t in state.items() if name != "mask_decoder.iou_token.weight"}, path)
    elif kind == "tensor too many":
        torch.save({**state, "mask_decoder.hf_token.weight": torch.zeros(1, 256)}, path)
    elif kind == "another shape":
        torch.save({**state, "mask_decoder.iou_token.weight": torch.zeros(2, 256)}, path)
    elif kind == "empty":
        path.touch()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("absent", "there is no checkpoint file"),
        ("empty", "is not a checkpoint: expected safetensors or a file written by torch.save"),
        ("page", "b'<!DOCTYPE'; check that the download is the file itself and not a web page"),
        ("cut-off safetensors", "is damaged or cut off at 10038880 bytes"),
        ("cut-off header", "is damaged or cut off at 20 bytes"),
        ("cut-off pth", "is damaged or cut off"),
        ("cut-off old pth", "is damaged or cut off"),
        ("zip", "is damaged or cut off at 104 bytes"),
        ("code", "is damaged or holds more than tensors, and is not loaded because that could run code"),
        ("old code", "is damaged or holds more than tensors, and is not loaded because that could run code"),
        ("nested", "expected a dictionary of tensors by name at the top level"),
        ("list", "expected a dictionary of tensors by name at the top level"),
        ("other model", "found 1 tensors such as conv1.weight"),
        ("no tensors", "found 0 tensors such as nothing"),
        ("tensor missing", "found 1 missing (such as mask_decoder.iou_token.weight)"),
        ("tensor too many", "found 1 unknown (such as mask_decoder.hf_token.weight)"),
        ("another shape", "found 1 of another shape (such as mask_decoder.iou_token.weight)"),
    ],
)
def test_a_bad_file_is_told_in_one_sentence(
    kind: str, said: str, bundled: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "weights.bin"
    write_bad_file(kind, bundled, path)
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    message = str(caught.value)
    assert str(path) in message
    assert said in message
    assert "\n" not in message
    assert capsys.readouterr().out == ""  # nothing in the file ran


@pytest.mark.parametrize("known", KNOWN_CHECKPOINTS, ids=lambda known: known.file_name)
def test_a_file_that_claims_to_be_published_must_have_the_published_content(
    known: object, bundled: dict[str, Tensor], tmp_path: Path
) -> None:
    path = tmp_path / known.file_name  # type: ignore[attr-defined]
    torch.save(bundled, path)
    with pytest.raises(CheckpointError, match=r"is not the published .* download it again, or rename it"):
        read_checkpoint(path)


def test_a_file_of_a_published_size_is_checked_too(tmp_path: Path) -> None:
    path = tmp_path / "renamed.safetensors"
    content = bytearray(bundled_checkpoint().read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"is not the published mobile_sam\.safetensors"):
        read_checkpoint(path)


def test_the_registry_refuses_weights_of_another_type() -> None:
    with pytest.raises(CheckpointError, match="is a vit_t checkpoint: expected vit_b"):
        sam_model_registry["vit_b"](checkpoint=bundled_checkpoint())
    assert set(sam_model_registry) == {"vit_h", "vit_l", "vit_b", "vit_t", "default"}
    assert sam_model_registry["default"] is sam_model_registry["vit_h"]
    assert not sam_model_registry["vit_t"](checkpoint=bundled_checkpoint()).training
    assert not sam_model_registry["vit_t"]().training


def test_a_file_that_cannot_be_read_is_told_in_one_sentence() -> None:
    unreadable = Path("/proc/self/mem")  # a file even for root, and its first bytes are nobody's
    with pytest.raises(CheckpointError, match=r"/proc/self/mem cannot be read \(Input/output error\); check"):
        read_checkpoint(unreadable)
