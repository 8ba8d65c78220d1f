"""Other tunings of the decoder's largest kernels, timed with the 1024 prompts of an image's default grid.

The product's tables change only in this process. The bench does not check what a tuning does to the masks.
Without a GPU the kernels are compiled for an H100, which shows their registers and spills, but are not timed.
"""

import argparse
import importlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

DECODING = "sam_core.decoding.triton"
# The cases of each kernel, the first one as in the product. All compile for an H100 (`--device cpu
# --only-sweep`). The number of map columns that the tokens' kernels handle at a time is compiled in, so each
# process has one.
SWEPT = {
    "look": (
        "timed tile=32,warps=4,stages=2",
        "timed tile=32,warps=4,stages=1",
        "timed tile=32,warps=4,stages=3",
        "timed tile=32,warps=8,stages=2",
        "timed tile=64,warps=4,stages=2",
        "timed tile=64,warps=8,stages=2",
        "timed tile=32,warps=8,stages=2,prompts=2",
        "timed tile=32,warps=8,stages=3,prompts=2",
    ),
    "positions": (
        "timed tile=64,tiles=4,warps=4,stages_first=2,stages_second=1",
        "timed tile=64,tiles=8,warps=4,stages_first=2,stages_second=1",
        "timed tile=64,tiles=4,warps=8,stages_first=2,stages_second=1",
        "timed tile=64,tiles=4,warps=4,stages_first=3,stages_second=2",
        "timed tile=128,tiles=2,warps=8,stages_first=2,stages_second=1",
        "timed tile=128,tiles=1,warps=8,stages_first=1,stages_second=1",
    ),
    "token_mlp": (
        "timed rows=64,columns=128,inner=32,warps=4,stages=3",
        "timed rows=64,columns=128,inner=32,warps=4,stages=4",
        "timed rows=64,columns=128,inner=64,warps=4,stages=2",
        "timed rows=64,columns=128,inner=64,warps=4,stages=3",
        "timed rows=64,columns=256,inner=32,warps=4,stages=3",
        "timed rows=128,columns=128,inner=64,warps=8,stages=2",
        "timed rows=128,columns=128,inner=64,warps=8,stages=3",
    ),
    "upscale": (
        "timed tile=128,warps=8,registers=128",
        "timed tile=128,warps=8,registers=168",
        "timed tile=128,warps=4,registers=255",
        "timed tile=64,warps=4,registers=128",
        "timed tile=64,warps=4,registers=168",
    ),
    "token_products 32": ("timed warps=4", "timed warps=2", "timed warps=8"),
    "token_products 64": ("timed warps=4", "timed warps=8"),
}
# the modules in which the decoder looks up the functions that start the kernels
STARTED = {
    "look": ("fused_decoder", ("look",)),
    "positions": ("fused_decoder", ("positions_after_first", "positions_after_second")),
    "token_mlp": ("token_mlp", ("linear",)),
    "upscale": ("kernel_decoder", ("drawn",)),
    "token_products": ("fused_decoder", ("gram", "mix", "seen_values", "upscaling_values")),
}
TUNINGS = {
    "look": "LookTuning",
    "positions": "PositionsTuning",
    "token_mlp": "MLPTuning",
    "upscale": "UpscaleTuning",
}
CAPABILITY = 90


class Sweep:
    """Repeats the calls that a batch of prompts makes to one module's kernels, with other tunings."""

    def __init__(self, asked: argparse.Namespace, kernel: str, part: str | None = None) -> None:
        self._kernel, self._stack, self._is_dry = kernel, ExitStack(), asked.device == "cpu"
        self._module = importlib.import_module(f"{DECODING}.{kernel}")
        if part is not None:
            import triton.language as tl

            self._module.PART = tl.constexpr(int(part))  # type: ignore[attr-defined]
        self._compiled = dict[str, Any]()
        make = _dry_decoder if self._is_dry else _decoder
        module, names = STARTED[kernel]
        with recorded(importlib.import_module(f"{DECODING}.{module}"), names) as self._calls:
            draw, start = make(self._stack)
            draw()
        self._stack.enter_context(noted(self._compiled, start))

    def timed(self, tuning: str) -> dict[str, Any]:
        """Milliseconds of all calls, and the device resources that the kernels use; or the fault."""
        import torch

        self._compiled.clear()
        self._tune({name: int(value) for name, value in (each.split("=") for each in tuning.split(","))})
        try:
            with torch.inference_mode():
                for call in self._calls:
                    call()
                found = {} if self._is_dry else _milliseconds(self._calls)
            return found | {name: _usage(kernel) for name, kernel in self._compiled.items()}
        except Exception as fault:  # noqa: BLE001  # too large for the card, or whatever Triton raises
            return {"fault": f"{type(fault).__name__}: {str(fault)[:300]}", "last_lines": ""}
        finally:
            if not self._is_dry:
                torch.cuda.synchronize()  # raises if the device is unusable, and ends the process

    def _tune(self, values: dict[str, int]) -> None:
        import torch

        if self._kernel == "token_products":
            self._module.WARPS = values["warps"]  # type: ignore[attr-defined]
            return
        tuning = getattr(self._module, TUNINGS[self._kernel])(**values)
        for key in self._module.TUNING:
            if torch.float32 not in (key, *(key if isinstance(key, tuple) else ())):
                self._module.TUNING[key] = tuning


@contextmanager
def recorded(module: Any, names: tuple[str, ...]) -> Iterator[list[Callable[[], Any]]]:
    """Records the calls of the module's functions with these names, so that each can be repeated."""
    calls, usual = list[Callable[[], Any]](), {name: getattr(module, name) for name in names}

    def recording(function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **named: Any) -> Any:
            calls.append(lambda: function(*arguments, **named))
            return function(*arguments, **named)

        return called

    for name, function in usual.items():
        setattr(module, name, recording(function))
    try:
        yield calls
    finally:
        for name, function in usual.items():
            setattr(module, name, function)


@contextmanager
def noted(compiled: dict[str, Any], start: Callable[..., Any]) -> Iterator[None]:
    """Starts kernels with `start`, and stores the compiled variants of each in `compiled`."""
    from triton.runtime.jit import KernelInterface

    usual = KernelInterface.__getitem__

    def starting(kernel: Any, grid: Any) -> Any:
        def started(*arguments: Any, **constants: Any) -> Any:
            kept = start(kernel, *arguments, grid=grid, **constants)
            names = [name for name in compiled if name.split()[0] == kernel.__name__]
            if all(compiled[name] is not kept for name in names):
                compiled[f"{kernel.__name__} {len(names)}"] = kept
            return kept

        return started

    KernelInterface.__getitem__ = starting
    try:
        yield
    finally:
        KernelInterface.__getitem__ = usual


Made = tuple[Callable[[], Any], Callable[..., Any]]


def _decoder(_: ExitStack) -> Made:
    """A function that draws 1024 prompts of a photo, and one that starts kernels."""
    import numpy as np
    from gpu_setting import images

    from sam_core.decoding.crop_frame import CropFrame
    from sam_core.decoding.triton.kernel_decoder import KernelDecoder, Kernels
    from sam_core.masks.crops import point_grid
    from sam_core.options import MaskOptions
    from sam_core.weights.registry import load_sam

    sam, photo = load_sam(device="cuda").sam, images("sa1b")[0]
    options = MaskOptions.model_validate({"precision": "float16"})
    features_1Chw = sam.encode(photo).features_1Chw
    height, width, _ = photo.shape
    frame = CropFrame(height, width, sam.image_encoder.img_size, 4 * features_1Chw.shape[2])
    decoder = KernelDecoder(sam, features_1Chw, frame, options, Kernels.of(sam, options))
    points_N2 = point_grid(32) * np.array([width, height])
    coords_N2 = frame.input_points(points_N2).astype(np.float32)
    return (
        lambda: _inferred(decoder, coords_N2),
        lambda kernel, *arguments, **named: kernel.run(*arguments, warmup=False, **named),
    )


def _dry_decoder(stack: ExitStack) -> Made:
    """As `_decoder`, on the meta device: kernels are compiled for an H100, which need not be present."""
    import numpy as np
    import torch

    from sam_core.decoding.crop_frame import CropFrame
    from sam_core.decoding.triton import rehearsal
    from sam_core.decoding.triton.fused_model import FusedModel
    from sam_core.decoding.triton.kernel_decoder import KernelDecoder, Kernels
    from sam_core.masks.crops import point_grid
    from sam_core.model.build import empty_sam
    from sam_core.model.presets import PRESETS
    from sam_core.model.triton.device import rehearsed
    from sam_core.options import MaskOptions

    class Nothing(rehearsal.Rehearsal):
        def start(self, kernel: Any, grid: Any, *arguments: Any, **constants: Any) -> None:
            """The recording starts nothing."""

    stack.enter_context(rehearsal._card(CAPABILITY, Nothing(lambda *_: None)))
    stack.enter_context(rehearsed(divmod(CAPABILITY, 10)))
    stack.enter_context(torch.inference_mode())
    sam = empty_sam(PRESETS["vit_t"]).to(rehearsal.META).eval()
    frame = CropFrame(1500, 2250, sam.image_encoder.img_size, 256)
    decoder = KernelDecoder(
        sam,
        torch.empty(1, 256, 64, 64, device=rehearsal.META),
        frame,
        MaskOptions.model_validate({"precision": "float16"}),
        Kernels(FusedModel(sam, torch.float16)),
    )
    coords_N2 = frame.input_points(point_grid(32) * np.array([2250, 1500])).astype(np.float32)
    return (
        lambda: _inferred(decoder, coords_N2),
        lambda kernel, *arguments, **named: kernel.run(*arguments, warmup=True, **named),
    )


def _inferred(decoder: Any, coords_N2: Any) -> None:
    import torch

    with torch.inference_mode():
        decoder.drawn(coords_N2)


def _milliseconds(calls: list[Callable[[], Any]]) -> dict[str, Any]:
    """The milliseconds of all calls, and of each."""
    from triton.testing import do_bench

    each = [float(do_bench(call, warmup=10, rep=60, return_mode="median")) for call in calls]
    return {"ms": round(sum(each), 4), "each": [round(ms, 4) for ms in each]}


def _usage(kernel: Any) -> str:
    """What a kernel uses of the device, from the driver, or from the assembler if it is not loaded."""
    shared = f"{kernel.metadata.shared / 1024:.0f} KB shared"
    if getattr(kernel, "n_regs", None) is not None:
        return f"{kernel.n_regs} registers, {kernel.n_spills} spills, {shared}"
    from assembled import usage  # its folder is on the path by gpu_setting

    used = usage(kernel.asm["ptx"], CAPABILITY)
    return f"{used['registers']} registers, {used['spills']} bytes spilled, {shared}"
