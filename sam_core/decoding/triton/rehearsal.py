"""Compiles all kernels of a model without running any: a crop passes through on torch's meta device.

Tensors on the meta device have shapes but no memory, so nothing is computed and no GPU is needed: the kernels
are compiled for the given capability. They are the shipped kernels, with the arguments of a real run. Triton
stores what it compiles in its cache, where other processes find it.

As a program: rehearsal.py MODEL PRECISION CAPABILITY [SHARE SHARES], the last two for one process of several
that share the work. Prints a line of JSON for each kernel.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from sam_core.decoding.crop_frame import CropFrame
from sam_core.decoding.precision import product_dtype
from sam_core.decoding.triton.agreement import POINTS_PER_SIDE, as_many
from sam_core.decoding.triton.fused_decoder import CAPABILITIES
from sam_core.decoding.triton.fused_model import FusedModel
from sam_core.decoding.triton.kernel_decoder import KernelDecoder, Kernels
from sam_core.masks.crops import point_grid
from sam_core.model.build import empty_sam
from sam_core.model.presets import PRESETS
from sam_core.model.sam import Sam
from sam_core.model.triton.device import rehearsed
from sam_core.model.triton.half_encoder import half_encoder
from sam_core.model.triton.resize import device_input
from sam_core.options import MaskOptions

META = torch.device("meta")
HEIGHT, WIDTH = 1500, 2250  # arbitrary: kernels work for all image sizes
ENCODER_BATCH = 2
GRID_SIDE = 32  # the default; selection is compiled for the next power of two


@dataclass
class Rehearsal:
    """Replaces starting kernels: compiles each kernel of its share once and passes it to `compiled`."""

    compiled: Callable[[str, Any], None]
    share: int = 0
    shares: int = 1
    seen: set[str] = field(default_factory=set)

    def start(self, kernel: Any, grid: Any, *arguments: Any, **constants: Any) -> None:
        """Replaces `kernel[grid](*arguments, **constants)`."""
        variant = repr((kernel.__name__, *map(_kind, arguments), *constants.items()))
        if variant in self.seen:
            return
        self.seen.add(variant)
        if len(self.seen) % self.shares == self.share:
            self.compiled(kernel.__name__, kernel.run(*arguments, grid=grid, warmup=True, **constants))


def rehearse(model_type: str, precision: str, capability: int, rehearsal: Rehearsal) -> None:
    """Passes to the rehearsal every kernel that labelling starts, in the trial of kernels and after it."""
    # in one batch, as no kernel depends on its size
    options = MaskOptions.model_validate({"precision": precision, "points_per_batch": GRID_SIDE**2})
    everything = options.model_copy(
        update={"pred_iou_thresh": 0, "stability_score_thresh": 0, "box_nms_thresh": 1}
    )
    dtype = product_dtype(options)
    draws = divmod(capability, 10) in CAPABILITIES.get(dtype, ())
    sam = empty_sam(PRESETS[model_type]).to(META).eval()
    with _card(capability, rehearsal), rehearsed(divmod(capability, 10)), torch.inference_mode():
        features_1Chw = _encoded(sam, precision)
        size = sam.image_encoder.img_size
        frame = CropFrame(HEIGHT, WIDTH, size, 4 * features_1Chw.shape[2])
        kernels = Kernels(FusedModel(sam, dtype) if draws else None)
        for side, each in ((POINTS_PER_SIDE, everything), (GRID_SIDE, options)):
            decoder = KernelDecoder(sam, features_1Chw, frame, each, kernels)
            points_N2 = point_grid(side) * np.array([WIDTH, HEIGHT])
            decoder.queued(points_N2, (0, 0, WIDTH, HEIGHT), (HEIGHT, WIDTH))
            if draws and side == POINTS_PER_SIDE:
                decoder.drawn(as_many(frame.input_points(points_N2).astype(np.float32)))


def _encoded(sam: Sam, precision: str) -> torch.Tensor:
    """The features [1, C, h, w] of one image of an encoder batch."""
    size = sam.image_encoder.img_size
    inputs = torch.empty(ENCODER_BATCH, 3, size, size, device=META)
    image = torch.empty(HEIGHT, WIDTH, 3, dtype=torch.uint8, device=META)
    device_input(image, size, sam.pixel_mean, sam.pixel_std, inputs[0])
    if precision == "float16":
        return half_encoder(sam.image_encoder)(inputs)[:1]
    rows, columns = sam.prompt_encoder.image_embedding_size
    return torch.empty(1, sam.mask_decoder.transformer_dim, rows, columns, device=META)


@contextmanager
def _card(capability: int, rehearsal: Rehearsal) -> Iterator[None]:
    """Makes Triton see a card of this capability and start kernels through the rehearsal."""
    from triton.backends.compiler import GPUTarget
    from triton.runtime import driver
    from triton.runtime.jit import KernelInterface

    class Card:
        """The part of Triton's driver that compiling needs."""

        def get_current_target(self) -> Any:
            return GPUTarget("cuda", capability, 32)

        def get_current_device(self) -> int:
            return capability  # one number per capability, as Triton caches what it compiles by device

        def get_current_stream(self, device: int) -> int:
            return 0

    usual = KernelInterface.__getitem__
    driver.set_active(Card())
    KernelInterface.__getitem__ = lambda kernel, grid: (
        lambda *arguments, **constants: rehearsal.start(kernel, grid, *arguments, **constants)
    )
    try:
        yield
    finally:
        KernelInterface.__getitem__ = usual


def _kind(argument: Any) -> Any:
    """The properties of an argument that a kernel may be compiled for."""
    if isinstance(argument, torch.Tensor):
        return str(argument.dtype)
    return (argument == 1, argument % 16 == 0) if isinstance(argument, int) else type(argument).__name__


def main() -> None:
    """Compiles the share of a model's kernels that the arguments name."""
    model_type, precision, capability, *part = sys.argv[1:]

    def shown(name: str, kernel: Any) -> None:
        print(json.dumps({"kernel": name, "shared": kernel.metadata.shared}), flush=True)

    share, shares = map(int, part) if part else (0, 1)
    rehearse(model_type, precision, int(capability), Rehearsal(shown, share, shares))


if __name__ == "__main__":
    main()
