"""Which files a checkpoint consists of, and their sha256. Does not import torch.

A checkpoint is one file, or a folder that Hugging Face's `save_pretrained` wrote: config.json with
model.safetensors, or with several files and an index that says which file holds which tensor.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from sam_core.weights.error import CheckpointError, NoCheckpoint

WHOLE_MODEL = ("model.safetensors", "pytorch_model.bin")  # in order of preference
CHUNK_BYTES = 4 << 20


def bundled_checkpoint() -> Path:
    """The MobileSAM weights that ship with the package."""
    return Path(__file__).with_name("mobile_sam.safetensors")


def checkpoint_files(path: Path) -> list[Path]:
    """The files that hold the tensors of the checkpoint at a path. Raises: CheckpointError."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise NoCheckpoint(f"there is no checkpoint file at {path}; check the path")
    for name in WHOLE_MODEL:
        index = path / f"{name}.index.json"
        if (path / name).is_file():
            return [path / name]
        if index.is_file():
            return _indexed_files(index)
    raise CheckpointError(
        f"the folder {path} holds no {' or '.join(WHOLE_MODEL)}; name a checkpoint file, or a folder that "
        "save_pretrained of Hugging Face's SamModel wrote"
    )


def sha256_of(files: Sequence[Path]) -> str:
    """sha256 of the concatenated content of the files, in hexadecimal. Raises: OSError."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()


def _indexed_files(index: Path) -> list[Path]:
    """The files that an index names, in the order of their names."""
    try:
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()), key=str)
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise CheckpointError(
            f"{index} is not an index of a checkpoint's files: expected JSON with a weight_map; download it "
            "again"
        ) from fault
    for name in names:
        is_name = isinstance(name, str) and Path(name).name == name
        if not is_name or not (index.parent / name).is_file():
            raise CheckpointError(
                f"{index} names the file {name}, which is not in the same folder; download the whole folder "
                "again"
            )
    return [index.parent / name for name in names]
