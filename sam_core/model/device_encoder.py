"""Turns images into features on a GPU: Pillow's resize and the encoder in Triton kernels.

This file decides whether to use the kernels; otherwise Pillow and plain torch do the work. The resize is used
only if it gives exactly the pixels of the installed Pillow. The encoder in float16 is used if its features of
a model's first image in a process are close to those in float32.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sam_core.model.host_copies import on_device
from sam_core.model.made_of_weights import MadeOfWeights
from sam_core.model.own_modules import are_own

if TYPE_CHECKING:
    from sam_core.model.sam import Sam

log = logging.getLogger(__name__)

LEAST_CAPABILITY = (8, 0)

Encode = Callable[[Tensor], Tensor]

# relative to the features' root mean square; measured for ViT-H: 0.001, and 0.0085 in bfloat16
MOST_DIFFERENCE = 0.02

_found = MadeOfWeights[Encode | None]()
_resizes: dict[torch.device, bool] = {}
_lock = threading.Lock()


def resized_inputs(sam: "Sam", images_HW3: Sequence[np.ndarray]) -> Tensor | None:
    """The encoder's input [B, 3, side, side] of RGB uint8 images; None if Pillow is to resize them."""
    if not may_have_kernels(sam.device):
        return None
    with _lock:
        if sam.device not in _resizes:
            _resizes[sam.device] = _resizes_as_pillow(sam)
    return _inputs_by_kernels(sam, images_HW3) if _resizes[sam.device] else None


def _inputs_by_kernels(sam: "Sam", images_HW3: Sequence[np.ndarray]) -> Tensor:
    from sam_core.model.triton.resize import device_input

    side = sam.image_encoder.img_size
    inputs = torch.empty(len(images_HW3), 3, side, side, dtype=torch.float32, device=sam.device)
    for image, out in zip(images_HW3, inputs, strict=True):
        device_input(on_device(image, sam.device), side, sam.pixel_mean, sam.pixel_std, out)
    return inputs


def _resizes_as_pillow(sam: "Sam") -> bool:
    """Whether the kernels give the same pixels on this card as the installed Pillow and torch."""
    try:
        from sam_core.model.triton.resize import is_exact

        if not is_exact():
            why_not = "this version of Pillow resizes differently"
        else:
            image = np.random.default_rng(0).integers(0, 256, (231, 180, 3), dtype=np.uint8)
            if torch.equal(_inputs_by_kernels(sam, [image])[0], sam.resized_input(image)):
                return True
            why_not = "the kernels compute different pixels"
    # whatever Triton raises: a compiler or a header that is missing, a driver
    except Exception as fault:  # noqa: BLE001
        why_not = f"{type(fault).__name__}: {str(fault)[:300]}"
    log.warning("images are resized on the CPU: %s", why_not)
    return False


def half_encoder_of(sam: "Sam", inputs: Tensor) -> Encode | None:
    """The encoder with float16 products, tried on these inputs; None if the model's own module is used."""
    # the module is checked each time: a hook that is added later changes no weight
    if not (may_have_kernels(sam.device) and are_own(sam.image_encoder)):
        return None
    return _found.get([sam.image_encoder], sam.device, lambda: _tried(sam, inputs))


def _tried(sam: "Sam", inputs: Tensor) -> Encode | None:
    try:
        from sam_core.model.triton.half_encoder import half_encoder, half_encoder_serves

        if not half_encoder_serves(sam.image_encoder):
            return None
        encode = half_encoder(sam.image_encoder)
        features = encode(inputs[:1])
    except torch.OutOfMemoryError:
        raise
    # whatever Triton raises: a compiler that is missing, a driver, a kernel too large for the card
    except Exception as fault:  # noqa: BLE001
        log.warning(
            "the image encoder works without the GPU's kernels: %s: %.300s", type(fault).__name__, fault
        )
        return None
    expected = sam.image_encoder(inputs[:1]).float()
    difference = float((features - expected).square().mean().sqrt() / expected.square().mean().sqrt())
    # Infinities are not the kernels' fault: the caller checks every image for them.
    if difference <= MOST_DIFFERENCE or not bool(torch.isfinite(features).all()):
        return encode
    log.warning(
        "the image encoder works without the GPU's kernels: their features differ by %.3f of their size",
        difference,
    )
    return None


@cache
def may_have_kernels(device: torch.device) -> bool:
    """Whether the device is a card that the kernels were written for, and Triton is installed."""
    if device.type != "cuda" or torch.version.hip is not None or find_spec("triton") is None:
        return False
    return torch.cuda.get_device_capability(device) >= LEAST_CAPABILITY


def current_card(device: torch.device) -> AbstractContextManager[object]:
    """Makes the device current: Triton starts kernels on the current device, wherever their tensors are."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
