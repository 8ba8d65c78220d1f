"""What each labeler loads: SAM's mask generator, with the same weights as the driver has read."""

import os

from pipeline.errors import SamLabelError
from pipeline.labelling.labeler import LabelerSettings
from pipeline.labelling.mask_stream import MaskGenerator
from pipeline.weights.models import checkpoint_path


def sam_generator(settings: LabelerSettings) -> MaskGenerator:
    """SAM's mask generator with a run's weights, in the labeler's own process.

    Raises: SamLabelError if this machine has other weights than the driver.
    """
    # Torch reads it once, when it is imported.
    os.environ["OMP_NUM_THREADS"] = str(settings.threads)
    # Compilers that are Python programs must not import from where the worker stands.
    os.environ["PYTHONSAFEPATH"] = "1"

    from sam_core.decoding.device_kernels import compile_kernels
    from sam_core.generator import SamAutomaticMaskGenerator
    from sam_core.weights.registry import load_sam

    path = checkpoint_path(settings.model, settings.checkpoint)
    loaded = load_sam(path, device=settings.device)
    if loaded.sha256 != settings.sha256:
        raise SamLabelError(
            f"the weights {path or '(bundled)'} on {os.uname().nodename} have sha256 {loaded.sha256[:12]}, "
            f"not {settings.sha256[:12]} as on the driver; put the same file on every machine"
        )
    compile_kernels(loaded.sam, loaded.model_type, settings.mask)
    return SamAutomaticMaskGenerator.from_options(loaded.sam, settings.mask)
