"""Decides whether Triton's kernels decode a model's crops; the only place that imports them.

Triton comes with torch's CUDA builds. Kernels are used if they suit the card and the model's sizes, and if
they agree with plain torch on the model's first crop in a process. Otherwise plain torch decodes, and the
log says why: a card, a driver or a Triton that nobody has tried costs speed, never a mask.
"""

import logging
import os
import time
from typing import TYPE_CHECKING

import torch

from sam_core.decoding.crop_frame import CropFrame
from sam_core.decoding.precision import refuse_not_finite
from sam_core.model.device_encoder import may_have_kernels
from sam_core.model.made_of_weights import MadeOfWeights
from sam_core.model.sam import Sam
from sam_core.options import MaskOptions

if TYPE_CHECKING:
    from sam_core.decoding.triton.kernel_decoder import KernelDecoder, Kernels

log = logging.getLogger(__name__)

_found = MadeOfWeights["Kernels | None"]()


def kernel_decoder(
    sam: Sam, features_1Chw: torch.Tensor, frame: CropFrame, options: MaskOptions
) -> "KernelDecoder | None":
    """The decoder of the crop with kernels; None if plain torch is to decode it."""
    if not may_have_kernels(sam.device):
        return None
    try:
        kernels = _found.get(
            [sam.mask_decoder, sam.prompt_encoder],
            (options.precision, sam.device),
            lambda: _tried(sam, features_1Chw, frame, options),
        )
    except torch.OutOfMemoryError:
        return None  # not permanent: another crop may find enough memory
    if kernels is None:
        return None
    from sam_core.decoding.triton.kernel_decoder import KernelDecoder

    return KernelDecoder(sam, features_1Chw, frame, options, kernels)


def compile_kernels(sam: Sam, model_type: str, options: MaskOptions) -> None:
    """Compiles the model's kernels for this card, if Triton's cache may lack them, and waits for it.

    model_type: a name of PRESETS. If this fails, the first image compiles the kernels one by one.
    """
    if not may_have_kernels(sam.device):
        return
    began = time.monotonic()
    try:
        from sam_core.decoding.triton.side_by_side import KernelSet, compile_side_by_side

        major, minor = torch.cuda.get_device_capability(sam.device)
        kernels = KernelSet(model_type, options.precision, 10 * major + minor)
        if compile_side_by_side(kernels, len(os.sched_getaffinity(0))):
            log.info("the GPU's kernels were compiled in %.0f s", time.monotonic() - began)
    except Exception as fault:  # noqa: BLE001  # a cache that cannot be written, a Triton that nobody has tried
        log.info(
            "the GPU's kernels were not compiled in advance, and are compiled when they are needed: %s", fault
        )


def _tried(sam: Sam, features_1Chw: torch.Tensor, frame: CropFrame, options: MaskOptions) -> "Kernels | None":
    """The kernels, after they have been tried on the crop; None if they cannot be used.

    Raises: NotFinite if the features are not finite: such a crop says nothing about the kernels.
    """
    refuse_not_finite(torch.isfinite(features_1Chw).all(), options)
    try:
        from sam_core.decoding.triton.agreement import disagreement
        from sam_core.decoding.triton.kernel_decoder import Kernels

        kernels = Kernels.of(sam, options)
        why_not = disagreement(sam, features_1Chw, frame, options, kernels)
    except torch.OutOfMemoryError:
        raise
    # whatever Triton raises: a compiler that is missing, a driver, a kernel too large for the card
    except Exception as fault:  # noqa: BLE001
        why_not = f"{type(fault).__name__}: {str(fault)[:300]}"
    if why_not is None:
        return kernels
    log.warning("plain torch makes the masks, more slowly, without the GPU's kernels: %s", why_not)
    return None
