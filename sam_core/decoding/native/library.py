"""The C library and the structs of kernel.h, loaded once; nothing here knows what the numbers mean."""

import ctypes
import functools
import platform
import warnings

import numpy as np
import torch

from sam_core.decoding.native.built import NOT_BUILT, opened

PROMPTS_A_CALL = 8  # PROMPTS of kernel.h
SCRATCH = (25 + PROMPTS_A_CALL * 37) * 1024  # of kernel.h, floats
FEATURES = 99  # of kernel.h
UPSCALING = (4, 98, 64)  # rows of U through the first convolution: sub-position, row, channel


class FirstLook(ctypes.Structure):
    _fields_ = (
        ("tiles", ctypes.c_int32),
        ("keys", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
        ("queries", ctypes.c_void_p),
        ("scratch", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
    )


class Layer(ctypes.Structure):
    _fields_ = (
        ("tiles", ctypes.c_int32),
        ("epsilon", ctypes.c_float),
        ("image", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
        ("queries", ctypes.c_void_p),
        ("token_keys", ctypes.c_void_p),
        ("token_values", ctypes.c_void_p),
        ("token_values_before", ctypes.c_void_p),
        ("weights_before", ctypes.c_void_p),
        ("query_weights", ctypes.c_void_p),
        ("shift", ctypes.c_void_p),
        ("shift_square", ctypes.c_float),
        ("weights", ctypes.c_void_p),
        ("scratch", ctypes.c_void_p),
        ("upscaling", ctypes.c_void_p),
        ("features", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
    )


class Upscaling(ctypes.Structure):
    _fields_ = (
        ("tiles", ctypes.c_int32),
        ("epsilon", ctypes.c_float),
        ("image", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("norm_weight", ctypes.c_void_p),
        ("norm_bias", ctypes.c_void_p),
        ("second", ctypes.c_void_p),
        ("second_bias", ctypes.c_void_p),
    )


class Cut(ctypes.Structure):
    _fields_ = (
        ("height", ctypes.c_int32),
        ("width", ctypes.c_int32),
        ("padded_height", ctypes.c_int32),
        ("columns", ctypes.c_int32),
        ("plane", ctypes.c_int64),
        ("row_first", ctypes.c_void_p),
        ("column_first", ctypes.c_void_p),
        ("row_weights", ctypes.c_void_p),
        ("column_weights", ctypes.c_void_p),
        ("threshold", ctypes.c_float),
        ("offset", ctypes.c_float),
        ("min_stability", ctypes.c_float),
    )


class Measure(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_int64)
        for name in ("over_high", "over_low", "area", "run_count", "x0", "y0", "x1", "y1")
    )


@functools.cache
def loaded() -> ctypes.CDLL | None:
    """The fastest library that this CPU runs; None, with a warning, where one should have been built."""
    found = next((library for library in map(opened, names()) if library), None)
    if found is None and names():
        warnings.warn(NOT_BUILT, RuntimeWarning, stacklevel=2)
    return found


def names() -> list[str]:
    """The libraries that this CPU can run, the fastest first."""
    if platform.machine().lower() in ("aarch64", "arm64"):
        return ["kernel_neon"]
    best = torch.backends.cpu.get_cpu_capability()
    return [f"kernel_{name.lower()}" for name in ("AVX512", "AVX2") if best in ("AVX512", name)]


def address(array: torch.Tensor | np.ndarray) -> int:
    """Where the numbers of a contiguous array lie; the caller keeps the array alive."""
    if isinstance(array, torch.Tensor):
        if not array.is_contiguous():
            raise ValueError("the kernel reads contiguous arrays only")
        return array.data_ptr()
    if not array.flags.c_contiguous:
        raise ValueError("the kernel reads contiguous arrays only")
    return array.ctypes.data


def run_prompts(name: str, arguments: ctypes.Structure, prompts: int) -> None:
    """Runs a pass over the prompts, a few a call. The calls release the interpreter lock."""
    function = getattr(loaded(), name)
    for start in range(0, prompts, PROMPTS_A_CALL):
        function(ctypes.byref(arguments), start, min(PROMPTS_A_CALL, prompts - start))
