"""Reads the content of a checkpoint file with torch or safetensors. No pickled code runs."""

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from sam_core.weights.error import CheckpointError
from sam_core.weights.other_models import other_model_of_class

# The first bytes of files that are often downloaded instead of a checkpoint.
OTHER_FORMS = (
    (b"version https://git-lfs", "a Git LFS pointer; fetch the file itself with git lfs pull"),
    (b"\x08", "an ONNX model; name the checkpoint that it was exported from"),
    (b"<", "a web page; check that the download is the file itself"),
)


def file_content(path: Path) -> Mapping[Any, object]:
    """The dictionary in a file of safetensors or torch.save, recognised by its content, not its extension.

    Raises: CheckpointError if the file is damaged or something else.
    """
    with path.open("rb") as file:
        start = file.read(32)
    try:
        # safetensors: the header's length in 8 bytes, then the header, JSON
        if start[8:9] == b"{":
            return dict(safetensors.torch.load_file(path))
        # torch: a zip archive, or the pickle of its early versions
        if start.startswith((b"PK", b"\x80\x02")):
            content = _loaded_by_torch(path)
            if isinstance(content, Mapping):
                return content
            raise _not_a_dictionary(path)
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        raise _refused_by_torch(path, error) from error
    except Exception as error:  # of 6,000 damaged files torch.load refused with 11 types of error
        raise _unreadable(path, error) from error
    raise _another_form(path, start)


def _loaded_by_torch(path: Path) -> object:
    with warnings.catch_warnings():  # a damaged file causes warnings besides the error
        warnings.simplefilter("ignore")
        return torch.load(path, map_location="cpu", weights_only=True)


def _another_form(path: Path, start: bytes) -> CheckpointError:
    for beginning, advice in OTHER_FORMS:
        if start.startswith(beginning):
            return CheckpointError(f"{path} is not a checkpoint but {advice}")
    return CheckpointError(
        f"{path} is not a checkpoint: expected safetensors or a file written by torch.save, found "
        f"the first bytes {start[:9]!r}; check that the download is the file itself"
    )


def _refused_by_torch(path: Path, error: pickle.UnpicklingError) -> CheckpointError:
    """torch names the first class in the file that is neither a tensor nor a plain value."""
    named = re.search(r"GLOBAL ([\w.]+)", str(error))
    if named is None:
        return CheckpointError(
            f"{path} is damaged or holds more than tensors and plain values, and was not loaded because "
            "loading it could run code; download it again, or save the model's state_dict() alone"
        )
    if other := other_model_of_class(named[1]):
        return CheckpointError(f"{path} is {other}; choose a SAM or MobileSAM checkpoint")
    return CheckpointError(
        f"{path} holds {named[1]} besides tensors and plain values, and was not loaded because loading it "
        "could run code; save the model's state_dict() alone"
    )


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    if "TorchScript" in str(error):
        return CheckpointError(
            f"{path} is a TorchScript program, not a checkpoint; save the model's state_dict()"
        )
    if isinstance(error, MemoryError) or "allocate memory" in str(error):
        return CheckpointError(
            f"there is not enough memory to read {path}, which has {path.stat().st_size:,} bytes; stop other "
            "programs, or use a smaller model"
        )
    return CheckpointError(
        f"{path} is damaged or cut off at {path.stat().st_size} bytes: expected a whole safetensors or "
        "torch file; download it again"
    )


def _not_a_dictionary(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path} is not a SAM checkpoint: expected a dictionary of tensors; save the model's state_dict()"
    )
