"""Finds SAM's tensors in a saved file: a state dict, or a training checkpoint with one somewhere inside.

Trainers put the state dict under their own key, and wrappers prefix each tensor's name with theirs.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from sam_core.weights.error import CheckpointError
from sam_core.weights.hugging_face import is_hugging_face, official_names

# Keys under which trainers store the model's state dict, in order of preference.
NESTED_UNDER = ("model", "state_dict", "model_state", "model_state_dict", "module", "sam", "net", "weights")
DEPTH = 4  # most levels of nested dictionaries: a pickle may hold one that contains itself
# DataParallel and torch.compile put these into names, at the front or around a part of the model.
WRAPPERS = {"module", "_orig_mod"}
# Text before the image encoder's name, official or Hugging Face's, is a wrapper's name.
BEFORE_ENCODER = re.compile(r"((?:.*?\.)?)(?:image|vision)_encoder\.")


def sam_tensors(content: Mapping[Any, object], path: Path) -> dict[str, Tensor] | None:
    """SAM's tensors by their official names, or None if no dictionary in the content has an image encoder.

    Raises: CheckpointError if the content holds more than one model.
    """
    state = _state_with_encoder(content)
    if state is None:
        return None
    prefixes = {match[1] for name in state if (match := BEFORE_ENCODER.match(name))}
    if len(prefixes) > 1:
        first, second = sorted(prefixes)[:2]
        raise CheckpointError(
            f"{path} holds more than one model ({first}image_encoder and {second}image_encoder); save the "
            "state_dict() of one of them"
        )
    (prefix,) = prefixes
    state = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    return official_names(state) if is_hugging_face(state) else state


def tensor_names(content: Mapping[Any, object], depth: int = DEPTH) -> list[str]:
    """The names of all tensors in the dictionaries of a checkpoint, each after the keys that lead to it."""
    names = list(_tensors(content))
    for key, inner in content.items():
        if isinstance(inner, Mapping) and depth:
            names += [f"{key}.{name}" for name in tensor_names(inner, depth - 1)]
    return names


def _state_with_encoder(content: Mapping[Any, object], depth: int = DEPTH) -> dict[str, Tensor] | None:
    """The first dictionary with an image encoder: this one, or one under a trainer's key."""
    state = _tensors(content)
    if any(BEFORE_ENCODER.match(name) for name in state):
        return state
    for key in NESTED_UNDER:
        inner = content.get(key)
        if isinstance(inner, Mapping) and depth and (nested := _state_with_encoder(inner, depth - 1)):
            return nested
    return None


def _tensors(content: Mapping[Any, object]) -> dict[str, Tensor]:
    """The tensors of one dictionary, without wrappers in their names."""
    return {
        ".".join(part for part in str(name).split(".") if part not in WRAPPERS): tensor
        for name, tensor in content.items()
        if isinstance(tensor, Tensor)
    }
