"""The weights of a run: identified before any work, loaded by each labeler, and the same in both places."""

import os
from dataclasses import dataclass

from pipeline.config import RunConfig
from pipeline.errors import SamLabelError, UsageError
from pipeline.labelling.labeler import LabelerSettings, MaskGenerator
from pipeline.weights.models import checkpoint_path
from sam_core.weights.known import KNOWN_CHECKPOINTS


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


def sam_generator(settings: LabelerSettings) -> MaskGenerator:
    """SAM's mask generator with a run's weights, in the labeler's own process.

    Raises: SamLabelError where this machine has other weights than the driver.
    """
    os.environ["OMP_NUM_THREADS"] = str(settings.threads)  # read once, when torch is loaded: so before it is

    from sam_core.generator import SamAutomaticMaskGenerator
    from sam_core.weights.registry import load_sam

    path = checkpoint_path(settings.model, settings.checkpoint)
    loaded = load_sam(path, device=settings.device)
    if loaded.sha256 != settings.sha256:
        raise SamLabelError(
            f"the weights {path or '(bundled)'} on {os.uname().nodename} have sha256 {loaded.sha256[:12]}, "
            f"not {settings.sha256[:12]} as on the driver; put the same file on every machine"
        )
    return SamAutomaticMaskGenerator.from_options(loaded.sam, settings.mask)
