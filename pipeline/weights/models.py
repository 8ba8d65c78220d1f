"""Where a model's weights are on this machine: in the package, in the cache, or at a path that was named."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.config import RunConfig
from pipeline.errors import UsageError
from pipeline.progress import Progress
from pipeline.weights.download import download
from sam_core.weights.error import CheckpointError
from sam_core.weights.files import bundled_checkpoint
from sam_core.weights.known import KNOWN_CHECKPOINTS, KnownCheckpoint


@dataclass(frozen=True)
class Model:
    """A known checkpoint and its file; `path` is None if it is not on this machine."""

    checkpoint: KnownCheckpoint
    path: Path | None

    @property
    def place(self) -> str:
        if self.path is None:
            return "not downloaded"
        return "cached" if self.checkpoint.url else "bundled"


def cache_folder() -> Path:
    """Where downloads go: SAM_LABEL_CACHE, otherwise the user's own cache; the folder may not exist yet.

    Raises: UsageError if there is neither.
    """
    if chosen := os.environ.get("SAM_LABEL_CACHE"):
        return Path(chosen).expanduser()
    if chosen := os.environ.get("XDG_CACHE_HOME"):
        return Path(chosen) / "sam-label"
    try:
        return Path.home() / ".cache" / "sam-label"
    except RuntimeError:  # neither HOME nor an entry in /etc/passwd, as in some containers
        raise UsageError(
            "this user has no home folder for downloaded weights; set SAM_LABEL_CACHE to a folder"
        ) from None


def known_models() -> list[Model]:
    """Every known checkpoint and its file, in the order of the list of known checkpoints."""
    return [Model(known, _file_of(known)) for known in KNOWN_CHECKPOINTS]


def checkpoint_path(model: str | None, checkpoint: str | None) -> Path | None:
    """The path that `--model` and `--checkpoint` mean on this machine; None for the bundled weights.

    It is a file, or a folder that Hugging Face's save_pretrained wrote. A checkpoint's URL is fetched into
    the cache once and read from there afterwards.
    Raises: UsageError: there is nothing at the path, or the weights are not downloaded. SamLabelError: the
    URL cannot be fetched.
    """
    if checkpoint is not None and "://" in checkpoint:
        return _fetched(checkpoint)
    if checkpoint is not None:
        path = Path(checkpoint).expanduser()
        if not path.exists():
            raise UsageError(
                f"there is no checkpoint {path}: name a .safetensors or .pth file, its URL, or a folder that "
                "save_pretrained wrote"
            )
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
    """The path of a model's official checkpoint, fetched into the cache if it was not there yet.

    `source` is another URL of the same file or, if it ends in a slash, the folder of a mirror.
    Raises: UsageError: no such checkpoint. SamLabelError: not reached, cut off, or not the official bytes.
    """
    known = next((known for known in KNOWN_CHECKPOINTS if known.model_type == model and known.url), None)
    if known is None:
        raise UsageError(f"there is nothing to pull for {model}: see `sam-label models list`")
    url = source or known.url
    target = cache_folder() / known.file_name
    download(url + known.file_name if url.endswith("/") else url, target, known.sha256, progress)
    return target


def _file_of(known: KnownCheckpoint) -> Path | None:
    try:
        path = cache_folder() / known.file_name if known.url else bundled_checkpoint()
    except UsageError:  # nothing can have been downloaded
        return None
    return path if path.is_file() else None


def _fetched(url: str) -> Path:
    name = f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{Path(urlsplit(url).path).name}"
    target = cache_folder() / "urls" / name
    download(url, target, None, lambda here, whole: None)
    return target


@dataclass(frozen=True)
class Weights:
    """Which weights a dataset is made with."""

    model_type: str
    sha256: str


def weights_of(config: RunConfig) -> Weights:
    """The weights that a run asks for, identified by their bytes.

    Raises: UsageError: they are missing, are no checkpoint, or have another architecture than --model.
    """
    path = checkpoint_path(config.model, config.checkpoint)
    if path is None:  # the bundled weights; labelers check the file itself
        bundled = next(known for known in KNOWN_CHECKPOINTS if not known.url)
        return Weights(bundled.model_type, bundled.sha256)

    # Imports torch, which the bundled weights do not need here.
    from sam_core.weights.checkpoint import read_checkpoint

    try:
        checkpoint = read_checkpoint(path)
    except CheckpointError as fault:
        raise UsageError(str(fault)) from fault
    if config.model not in (None, checkpoint.model_type):
        raise UsageError(
            f"{path} holds {checkpoint.model_type}, not {config.model}; leave --model out, or name a file "
            "of that model"
        )
    return Weights(checkpoint.model_type, checkpoint.sha256)
