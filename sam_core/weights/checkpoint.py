"""Reading checkpoints: what they are is found from their content, and a bad one is told in one sentence.

The file's own form decides (a zip archive or pickle of torch, or safetensors), never its extension. A file
that claims to be a published one by name or size must have the published sha256 before anything in it is
interpreted; `weights_only` then keeps foreign pickles from running code.
"""

import hashlib
import logging
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from sam_core.model.build import tensor_shapes
from sam_core.model.presets import PRESETS, VitPreset
from sam_core.weights.hugging_face import is_hugging_face, official_names
from sam_core.weights.known import known_by_appearance, known_by_sha256

log = logging.getLogger(__name__)

UNUSED_PREFIXES = (
    "image_encoder.head.",
    "image_encoder.norm_head.",
)  # TinyViT's classifier, in mobile_sam.pt
UNUSED_SUFFIX = ".attention_bias_idxs"  # a constant that some exports of TinyViT carry


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message says which, what was expected and what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """Weights under the official names, float32, that fit `model_type` exactly."""

    model_type: str
    state_dict: dict[str, Tensor]
    sha256: str
    path: Path


def bundled_checkpoint() -> Path:
    """The MobileSAM weights that ship with the package."""
    return Path(__file__).with_name("mobile_sam.safetensors")


def read_checkpoint(path: Path | str) -> Checkpoint:
    """The checkpoint in a `.pth`, `.pt` or safetensors file with official or Hugging Face naming.

    An unknown sha256 is logged as a warning, not refused: own weights are welcome.
    Raises: CheckpointError.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(
            f"there is no checkpoint file at {path}; check the path, or leave it out for the bundled weights"
        )
    try:
        sha256 = file_sha256(path)
    except OSError as fault:
        raise CheckpointError(
            f"{path} cannot be read ({fault.strerror}); check its permissions and its disk"
        ) from fault
    check_origin(path, sha256)
    tensors = read_tensors(path)
    if is_hugging_face(tensors):
        tensors = official_names(tensors)
    state_dict = {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
        if not name.startswith(UNUSED_PREFIXES) and not name.endswith(UNUSED_SUFFIX)
    }
    model_type = model_type_of(state_dict, path)
    check_fit(state_dict, model_type, path)
    return Checkpoint(model_type, state_dict, sha256, path)


def file_sha256(path: Path) -> str:
    """sha256 of the file's content, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_origin(path: Path, sha256: str) -> None:
    """Raises: CheckpointError where the file claims to be a published one and is not."""
    if known_by_sha256(sha256):
        return
    size_bytes = path.stat().st_size
    claimed = known_by_appearance(path.name, size_bytes)
    if claimed:
        raise CheckpointError(
            f"{path} is not the published {claimed.file_name}: expected {claimed.size_bytes} bytes with "
            f"sha256 {claimed.sha256}, found {size_bytes} bytes with {sha256}; download it again, or "
            "rename it if these are weights of your own"
        )
    log.warning("%s (sha256 %s) is none of the published checkpoints", path, sha256)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors in the file by name. Raises: CheckpointError where it is damaged or something else."""
    with path.open("rb") as file:
        start = file.read(9)
    if start[8:] == b"{":  # safetensors: the header's length in 8 bytes, then the header, JSON
        load: Callable[[Path], object] = safetensors.torch.load_file
    elif start[:2] in (b"PK", b"\x80\x02"):  # torch: a zip archive, or the pickle of its early versions
        load = partial(torch.load, map_location="cpu", weights_only=True)
    else:
        raise CheckpointError(
            f"{path} is not a checkpoint: expected safetensors or a file written by torch.save, found "
            f"the first bytes {start!r}; check that the download is the file itself and not a web page"
        )
    try:
        tensors = load(path)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is damaged or holds more than tensors, and is not loaded because that could run code: "
            "expected a plain state dict; download it again, or save the model's state_dict() as safetensors"
        ) from error
    except Exception as error:  # of 6,000 damaged files torch.load refused with 11 types of error
        raise CheckpointError(
            f"{path} is damaged or cut off at {path.stat().st_size} bytes: expected a whole safetensors or "
            "torch file; download it again"
        ) from error
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise CheckpointError(
            f"{path} is no SAM checkpoint: expected a dictionary of tensors by name at the top level; save "
            "the model's state_dict() alone"
        )
    return {str(name): tensor for name, tensor in tensors.items()}


def model_type_of(state_dict: dict[str, Tensor], path: Path) -> str:
    """The architecture whose image encoder these tensors are. Raises: CheckpointError where it is none."""
    if "image_encoder.patch_embed.seq.0.c.weight" in state_dict:
        return "vit_t"
    pos_embed = state_dict.get("image_encoder.pos_embed")
    if pos_embed is not None:
        for model_type, preset in PRESETS.items():
            if isinstance(preset.encoder, VitPreset) and preset.encoder.embed_dim == pos_embed.shape[-1]:
                return model_type
    example = next(iter(state_dict), "nothing")
    raise CheckpointError(
        f"{path} is no SAM checkpoint: expected the image encoder of {', '.join(PRESETS)}, found "
        f"{len(state_dict)} tensors such as {example}; choose a SAM or MobileSAM file"
    )


def check_fit(state_dict: dict[str, Tensor], model_type: str, path: Path) -> None:
    """Raises: CheckpointError where a tensor is missing, left over or of another shape."""
    expected = tensor_shapes(PRESETS[model_type])
    missing = expected.keys() - state_dict.keys()
    extra = state_dict.keys() - expected.keys()
    misshapen = {
        name for name in expected.keys() & state_dict.keys() if state_dict[name].shape != expected[name]
    }
    found = [
        f"{len(names)} {what} (such as {min(names)})"
        for what, names in (("missing", missing), ("unknown", extra), ("of another shape", misshapen))
        if names
    ]
    if found:
        raise CheckpointError(
            f"{path} does not fit {model_type}: expected its {len(expected)} tensors, found "
            f"{', '.join(found)}; choose a whole, unmodified SAM or MobileSAM checkpoint"
        )
