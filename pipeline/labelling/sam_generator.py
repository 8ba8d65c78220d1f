"""What each labeler loads: SAM's mask generator, with the same weights as the driver has read."""

import os

from pipeline.errors import SamLabelError
from pipeline.labelling.given_gpu import GivenGpu
from pipeline.labelling.labeler import LabelerSettings
from pipeline.labelling.mask_stream import MaskGenerator
from pipeline.weights.models import checkpoint_path


def sam_generator(settings: LabelerSettings) -> MaskGenerator:
    """SAM's mask generator with a run's weights, in the labeler's own process.

    Raises: SamLabelError if this machine has other weights than the driver, or a GPU that cannot hold them.
    """
    # Torch reads this once, when it is imported.
    os.environ["OMP_NUM_THREADS"] = str(settings.threads)
    # Compilers that are Python programs must not import from the worker's working directory.
    os.environ["PYTHONSAFEPATH"] = "1"

    from sam_core.decoding.device_kernels import compile_kernels
    from sam_core.generator import SamAutomaticMaskGenerator
    from sam_core.weights.registry import load_sam

    gpu = GivenGpu.here() if settings.device == "cuda" else None
    path = checkpoint_path(settings.model, settings.checkpoint)
    loaded = load_sam(path)
    if loaded.sha256 != settings.sha256:
        raise SamLabelError(
            f"the weights {path or '(bundled)'} on {os.uname().nodename} have sha256 {loaded.sha256[:12]}, "
            f"not {settings.sha256[:12]} as on the driver; put the same file on every machine"
        )
    if gpu is not None:
        gpu.refuse_what_does_not_fit(loaded.model_type, sum(each.nbytes for each in loaded.sam.parameters()))
    sam = loaded.sam.to(settings.device)
    compile_kernels(sam, loaded.model_type, settings.mask)
    return SamAutomaticMaskGenerator.from_options(sam, settings.mask)
