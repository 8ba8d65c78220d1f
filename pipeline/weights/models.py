"""Where a model's weights are on this machine: in the package, in the cache, or in a file that was named."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import sam_core
from pipeline.config import RunConfig
from pipeline.errors import UsageError
from pipeline.weights.download import Progress, download
from sam_core.weights.known import KNOWN_CHECKPOINTS, KnownCheckpoint

BUNDLED_FOLDER = Path(sam_core.__file__).parent / "weights"


@dataclass(frozen=True)
class Model:
    """A known checkpoint and its file; `path` is None where it is not on this machine."""

    checkpoint: KnownCheckpoint
    path: Path | None

    @property
    def place(self) -> str:
        if self.path is None:
            return "not downloaded"
        return "cached" if self.checkpoint.url else "bundled"


def cache_folder() -> Path:
    """Where downloads go: SAM_LABEL_CACHE, else the user's own cache; the folder need not exist yet."""
    if chosen := os.environ.get("SAM_LABEL_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sam-label"


def known_models() -> list[Model]:
    """Every known checkpoint and its file, in the order of the list of known checkpoints."""
    return [Model(known, _file_of(known)) for known in KNOWN_CHECKPOINTS]


def checkpoint_path(model: str | None, checkpoint: str | None) -> Path | None:
    """The file that `--model` and `--checkpoint` mean on this machine; None stands for the bundled weights.

    A checkpoint's URL is fetched into the cache once and read from there afterwards.
    Raises: UsageError: no such file, or not downloaded. SamLabelError: the URL cannot be fetched.
    """
    if checkpoint is not None and "://" in checkpoint:
        return _fetched(checkpoint)
    if checkpoint is not None:
        path = Path(checkpoint).expanduser()
        if not path.is_file():
            raise UsageError(f"there is no checkpoint {path}: name a .safetensors or .pth file or its URL")
        return path
    if model in (None, "vit_t"):
        return None
    for known in known_models():
        if known.checkpoint.model_type == model and known.path is not None:
            return known.path
    raise UsageError(
        f"the weights of {model} are not on this machine: fetch them with `sam-label models pull {model}`, "
        "or name a file with --checkpoint"
    )


def pull(model: str, source: str | None, progress: Progress) -> Path:
    """The path of a model's official checkpoint, fetched into the cache where it was not there yet.

    `source` is another URL of the same file, or, ending in a slash, a mirror's folder.
    Raises: UsageError: no such checkpoint. SamLabelError: not reached, cut off, or not the official bytes.
    """
    known = next((known for known in KNOWN_CHECKPOINTS if known.model_type == model and known.url), None)
    if known is None:
        raise UsageError(f"there is nothing to pull for {model}: see `sam-label models list`")
    url = source or known.url
    target = cache_folder() / known.file_name
    download(url + known.file_name if url.endswith("/") else url, target, known.sha256, progress)
    return target


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _file_of(known: KnownCheckpoint) -> Path | None:
    path = (cache_folder() if known.url else BUNDLED_FOLDER) / known.file_name
    return path if path.is_file() else None


def _fetched(url: str) -> Path:
    name = f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{Path(urlsplit(url).path).name}"
    target = cache_folder() / "urls" / name
    download(url, target, None, lambda here, whole: None)
    return target


@dataclass(frozen=True)
class Weights:
    """Which weights: what rows of a dataset have in common."""

    model_type: str
    sha256: str


def weights_of(config: RunConfig) -> Weights:
    """The weights that a run asks for, from their bytes.

    Raises: UsageError where they are not there, are no checkpoint, or of another architecture than --model.
    """
    path = checkpoint_path(config.model, config.checkpoint)
    if path is None:  # the bundled ones; labelers check the file itself
        bundled = next(known for known in KNOWN_CHECKPOINTS if not known.url)
        return Weights(bundled.model_type, bundled.sha256)

    from sam_core.weights.checkpoint import (
        CheckpointError,
        read_checkpoint,
    )  # torch, which the bundled weights spare us

    try:
        checkpoint = read_checkpoint(path)
    except CheckpointError as fault:
        raise UsageError(str(fault)) from fault
    if config.model not in (None, checkpoint.model_type):
        raise UsageError(
            f"{path} holds {checkpoint.model_type}, not {config.model}; leave --model out, or name its file"
        )
    return Weights(checkpoint.model_type, checkpoint.sha256)
