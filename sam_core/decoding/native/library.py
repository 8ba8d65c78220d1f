"""Loads the C library for this CPU once, and calls it with a few prompts at a time."""

import ctypes
import functools
import platform
import warnings
from ctypes import POINTER, c_int32, c_void_p

import torch

from sam_core.decoding.native import built
from sam_core.decoding.native.arrays import KernelStruct
from sam_core.decoding.native.structs import (
    PROMPTS_A_CALL,
    Cut,
    FirstAttention,
    FirstLayer,
    Measure,
    SecondLayer,
    Upscaling,
)

# the arguments of each function; an array is passed by its address
FUNCTIONS = {
    "sam_first_attention": (POINTER(FirstAttention), c_int32, c_int32),
    "sam_first_layer": (POINTER(FirstLayer), c_int32, c_int32),
    "sam_second_layer": (POINTER(SecondLayer), c_int32, c_int32),
    "sam_logits": (POINTER(Upscaling), c_void_p, c_void_p, c_void_p, c_int32, c_void_p),
    "sam_measure": (POINTER(Cut), c_void_p, c_void_p, c_void_p, POINTER(Measure), c_void_p),
}


@functools.cache
def loaded() -> ctypes.CDLL | None:
    """The fastest library that this CPU can run; None if there is none, with a warning if there should be."""
    library = next((library for library in map(opened, names()) if library), None)
    if library is None and names():
        warnings.warn(built.NOT_BUILT, RuntimeWarning, stacklevel=2)
    return library


def opened(name: str) -> ctypes.CDLL | None:
    """The library of that name, its functions typed; None if it cannot be used."""
    library = built.opened(name)
    if library is not None:
        for function, arguments in FUNCTIONS.items():
            typed = getattr(library, function)
            typed.restype, typed.argtypes = None, arguments
    return library


def names() -> list[str]:
    """The libraries that this CPU can run, the fastest first."""
    if platform.machine().lower() in ("aarch64", "arm64"):
        return ["kernel_neon"]
    best = torch.backends.cpu.get_cpu_capability()
    return [f"kernel_{name.lower()}" for name in ("AVX512", "AVX2") if best in ("AVX512", name)]


def run_prompts(name: str, arguments: KernelStruct, prompts: int) -> None:
    """Runs a pass over the prompts, a few a call. The calls release the interpreter lock."""
    function = getattr(loaded(), name)
    for start in range(0, prompts, PROMPTS_A_CALL):
        function(ctypes.byref(arguments), start, min(PROMPTS_A_CALL, prompts - start))
