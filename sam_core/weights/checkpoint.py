"""Reads checkpoints: detects their type from the content, and raises a one-sentence error for a bad one.

A file with the name of a published checkpoint must have the published sha256 before anything in it is
interpreted; `weights_only` then keeps untrusted pickles from running code.
"""

import logging
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor

from sam_core.model.build import tensor_shapes
from sam_core.model.presets import PRESETS, VitPreset
from sam_core.model.sam import PIXEL_MEAN, PIXEL_STD
from sam_core.weights.error import CheckpointError
from sam_core.weights.files import checkpoint_files, sha256_of
from sam_core.weights.known import known_by_file_name, known_by_sha256
from sam_core.weights.other_models import other_model
from sam_core.weights.state_dict import sam_tensors, tensor_names
from sam_core.weights.tensors import file_content

log = logging.getLogger(__name__)

# TinyViT's classifier, in mobile_sam.pt
UNUSED_PREFIXES = ("image_encoder.head.", "image_encoder.norm_head.")
# A constant that some exports of TinyViT contain
UNUSED_SUFFIX = ".attention_bias_idxs"
# Buffers that forks of SA save and SA does not
NORMALIZATION = {"pixel_mean": PIXEL_MEAN, "pixel_std": PIXEL_STD}


@dataclass(frozen=True)
class Checkpoint:
    """Weights under the official names, float32, that fit `model_type` exactly."""

    model_type: str
    state_dict: dict[str, Tensor]
    sha256: str
    path: Path


def read_checkpoint(path: Path | str) -> Checkpoint:
    """The checkpoint at a path: a `.pth`, `.pt` or safetensors file, or a folder of Hugging Face's SamModel.

    The state dict may have official or Hugging Face's names, and may be part of a training checkpoint. An
    unknown sha256 only logs a warning: users may load their own weights.
    Raises: CheckpointError; TypeError if `path` is not a path.
    """
    if not isinstance(path, str | PathLike):
        raise TypeError(f"a checkpoint must be given as a path, a str or a Path, got {path!r:.60}")
    path = Path(path)
    files = checkpoint_files(path)
    try:
        sha256 = sha256_of(files)
        check_origin(path, sha256)
        content = {name: value for file in files for name, value in file_content(file).items()}
    except OSError as fault:
        raise CheckpointError(
            f"{path} cannot be read ({fault.strerror}); check its permissions and its disk"
        ) from fault
    tensors = sam_tensors(content, path)
    names = tensor_names(content) if tensors is None else tensors
    if other := other_model(names, path.name):
        raise CheckpointError(f"{path} is {other}; choose a SAM or MobileSAM checkpoint")
    if tensors is None:
        raise no_sam(path, list(names))
    state_dict = used_tensors(tensors, path)
    model_type = model_type_of(state_dict, path)
    check_fit(state_dict, model_type, path)
    if not known_by_sha256(sha256):
        log.warning("%s (sha256 %s) is not one of the published checkpoints", path, sha256)
    return Checkpoint(model_type, state_dict, sha256, path)


def check_origin(path: Path, sha256: str) -> None:
    """Raises: CheckpointError if the file has the name of a published checkpoint but other content."""
    if known_by_sha256(sha256):
        return
    if claimed := known_by_file_name(path.name):
        raise CheckpointError(
            f"{path} is not the published {claimed.file_name}: expected {claimed.size_bytes} bytes with "
            f"sha256 {claimed.sha256}, found {path.stat().st_size} bytes with {sha256}; download it again, "
            "or rename it if these are weights of your own"
        )


def used_tensors(tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The tensors that the model uses, in float32; logs a warning for a normalization other than SAM's."""
    for name, ours in NORMALIZATION.items():
        theirs = tensors.get(name)
        if theirs is not None and not is_normalization(theirs, ours):
            log.warning("%s has its own %s, which is ignored: images are normalized as for SAM", path, name)
    return {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
        if not name.startswith(UNUSED_PREFIXES)
        and not name.endswith(UNUSED_SUFFIX)
        and name not in NORMALIZATION
    }


def is_normalization(values: Tensor, ours: tuple[float, ...]) -> bool:
    """Whether the values are ours, for pixels in 0..255 or in 0..1."""
    expected, given = torch.tensor(ours, dtype=torch.float32), values.detach().float().flatten()
    return given.shape == expected.shape and any(
        torch.allclose(given * scale, expected, rtol=1e-2) for scale in (1, 255)
    )


def model_type_of(state_dict: dict[str, Tensor], path: Path) -> str:
    """The architecture with this image encoder. Raises: CheckpointError if there is none."""
    if "image_encoder.patch_embed.seq.0.c.weight" in state_dict:
        return "vit_t"
    pos_embed = state_dict.get("image_encoder.pos_embed")
    if pos_embed is not None and pos_embed.ndim:
        for model_type, preset in PRESETS.items():
            if isinstance(preset.encoder, VitPreset) and preset.encoder.embed_dim == pos_embed.shape[-1]:
                return model_type
    raise no_sam(path, list(state_dict))


def no_sam(path: Path, names: list[str]) -> CheckpointError:
    """The error for tensors that belong neither to SAM nor to another model that we know."""
    example = f" such as {names[0]}" if names else ""
    return CheckpointError(
        f"{path} is not a SAM checkpoint: expected the image encoder of {', '.join(PRESETS)}, found "
        f"{len(names)} tensors{example}; choose a SAM or MobileSAM checkpoint"
    )


def check_fit(state_dict: dict[str, Tensor], model_type: str, path: Path) -> None:
    """Raises: CheckpointError if a tensor is missing, left over or of another shape."""
    expected = tensor_shapes(PRESETS[model_type])
    missing = expected.keys() - state_dict.keys()
    unknown = state_dict.keys() - expected.keys()
    misshapen = {
        name for name in expected.keys() & state_dict.keys() if state_dict[name].shape != expected[name]
    }
    differences = [
        f"{len(names)} {what} (such as {min(names)})"
        for what, names in (("missing", missing), ("unknown", unknown), ("of another shape", misshapen))
        if names
    ]
    if differences:
        raise CheckpointError(
            f"{path} does not fit {model_type}: expected its {len(expected)} tensors, found "
            f"{', '.join(differences)}; choose a whole SAM or MobileSAM checkpoint for images of 1024 pixels"
        )
