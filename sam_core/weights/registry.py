"""Models with their weights: `sam_model_registry` as SA's scripts use it, `load_sam` for all other code."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from sam_core.model.build import build_sam, empty_sam
from sam_core.model.presets import PRESETS
from sam_core.model.sam import Sam
from sam_core.weights.checkpoint import read_checkpoint
from sam_core.weights.error import CheckpointError
from sam_core.weights.files import bundled_checkpoint


@dataclass(frozen=True)
class LoadedSam:
    """A model ready for use, with the type and the sha256 of its weights."""

    sam: Sam
    model_type: str
    sha256: str


def load_sam(path: Path | str | None = None, device: torch.device | str = "cpu") -> LoadedSam:
    """The model in a checkpoint of any type; without a path the bundled MobileSAM.

    Raises: CheckpointError.
    """
    checkpoint = read_checkpoint(bundled_checkpoint() if path is None else path)
    sam = empty_sam(PRESETS[checkpoint.model_type])
    sam.load_state_dict(checkpoint.state_dict, strict=True, assign=True)
    return LoadedSam(sam.to(device), checkpoint.model_type, checkpoint.sha256)


def registry_entry(model_type: str) -> Callable[..., Sam]:
    """SA's builder of one model type."""

    def build(checkpoint: Path | str | None = None) -> Sam:
        """The model with these weights, or with random ones. Raises: CheckpointError."""
        if checkpoint is None:
            return build_sam(PRESETS[model_type])
        loaded = load_sam(checkpoint)
        if loaded.model_type != model_type:
            raise CheckpointError(
                f"{checkpoint} is a {loaded.model_type} checkpoint: expected {model_type}; "
                f'use sam_model_registry["{loaded.model_type}"] or another file'
            )
        return loaded.sam

    return build


class ModelRegistry(dict[str, Callable[..., Sam]]):
    """Builders by the names of their models."""

    def __missing__(self, model_type: object) -> Callable[..., Sam]:
        raise KeyError(f"sam_model_registry has no {model_type!r}; it has {', '.join(self)}")


sam_model_registry = ModelRegistry({model_type: registry_entry(model_type) for model_type in PRESETS})
sam_model_registry["default"] = sam_model_registry["vit_h"]
