"""The structs of kernel.h, field by field, with what each pointer must hold; kernel.h explains the fields.

The digest of the sources (sources.py) ties a library to the C files it was built from. The tests of the
decoder show that these structs mirror kernel.h.
"""

import ctypes
from typing import ClassVar

from sam_core.decoding.native.arrays import Array, KernelStruct, Layout, fields_of, floats

# kernel.h and vector.h
TILE = 64  # positions
TOKENS = 7  # of a prompt: IoU, four masks, point, padding point
EIGHT = 8  # tokens in the kernel's arrays; the last one is not used
HEADS, HEAD_DIM = 8, 16
DIM = HEADS * HEAD_DIM
PROMPTS_A_CALL = 8
SCRATCH = (25 + PROMPTS_A_CALL * 37) * 1024  # floats
FEATURES = 99  # rows of a tile of features
# rows of a tile of the image in the two layers: attention.c
FIRST_ROWS, SECOND_ROWS = 4 * DIM + 1, 6 * DIM + 2
SECOND_OUTPUTS = 12  # tiles of 64 outputs of the second layer's weights: tokens.c
HIDDEN, OUTPUTS = 64, 32  # channels after the first and the second transposed convolution

PER_TOKEN = floats("prompts", HEADS, HEAD_DIM, EIGHT)
PER_POSITION = floats("tiles", HEADS, TILE, HEAD_DIM)
ATTENDED = floats("prompts", HEADS, TOKENS, HEAD_DIM)
ROWS_TO_UPSCALE = (4, 98, HIDDEN)  # of a prompt: sub-position, row of U, channel after the first convolution
NOT_READ = ctypes.c_void_p  # a pointer that a pass does not use: NULL


class FirstAttention(KernelStruct):
    """Arguments of sam_first_attention."""

    layout: ClassVar[Layout] = {
        "tiles": ctypes.c_int32,
        "keys": floats("tiles", DIM, TILE),
        "values": PER_POSITION,
        "queries": PER_TOKEN,
        "scratch": floats(SCRATCH),
        "out": ATTENDED,
    }
    _fields_ = fields_of(layout)


class FirstLayer(KernelStruct):
    """Layer of kernel.h as sam_first_layer reads it."""

    layout: ClassVar[Layout] = {
        "tiles": ctypes.c_int32,
        "epsilon": ctypes.c_float,
        "image": floats("tiles", FIRST_ROWS, TILE),
        "values": PER_POSITION,
        "queries": PER_TOKEN,
        "token_keys": PER_TOKEN,
        "token_values": PER_TOKEN,
        "token_values_before": NOT_READ,
        "weights_before": NOT_READ,
        "query_weights": NOT_READ,
        "shift": NOT_READ,
        "shift_square": ctypes.c_float,
        "weights": floats(6, DIM, TILE),
        "scratch": floats(SCRATCH),
        "upscaling": NOT_READ,
        "features": floats("prompts", "tiles", FEATURES, TILE),
        "out": ATTENDED,
    }
    _fields_ = fields_of(layout)


class SecondLayer(KernelStruct):
    """Layer of kernel.h as sam_second_layer reads it: the same fields, all of them."""

    layout: ClassVar[Layout] = {
        **FirstLayer.layout,
        "image": floats("tiles", SECOND_ROWS, TILE),
        "token_values_before": PER_TOKEN,
        "weights_before": floats(SECOND_OUTPUTS, DIM, TILE),
        "query_weights": floats(2, DIM, TILE),
        "shift": floats(SECOND_OUTPUTS * TILE),
        "weights": floats(SECOND_OUTPUTS, DIM, TILE),
        "upscaling": floats("prompts", *ROWS_TO_UPSCALE),
    }
    _fields_ = fields_of(layout)


class Upscaling(KernelStruct):
    """What sam_logits needs of the model and the crop."""

    layout: ClassVar[Layout] = {
        "tiles": ctypes.c_int32,
        "epsilon": ctypes.c_float,
        "image": floats("tiles", 4 * HIDDEN, TILE),
        "bias": floats(4 * HIDDEN),
        "norm_weight": floats(HIDDEN),
        "norm_bias": floats(HIDDEN),
        "second": floats(4, OUTPUTS // 4, HIDDEN, 4),
        "second_bias": floats(OUTPUTS),
    }
    _fields_ = fields_of(layout)


class Cut(KernelStruct):
    """What sam_measure needs of the crop and the thresholds."""

    layout: ClassVar[Layout] = {
        "height": ctypes.c_int32,
        "width": ctypes.c_int32,
        "padded_height": ctypes.c_int32,
        "columns": ctypes.c_int32,
        "plane": ctypes.c_int64,
        "row_first": Array("int32", ("height",)),
        "column_first": Array("int32", ("width",)),
        "row_weights": floats("height", 3),
        "column_weights": floats("width", 3),
        "threshold": ctypes.c_float,
        "offset": ctypes.c_float,
        "min_stability": ctypes.c_float,
    }
    _fields_ = fields_of(layout)


class Measure(ctypes.Structure):
    """What sam_measure answers."""

    _fields_ = [
        (name, ctypes.c_int64)
        for name in ("over_high", "over_low", "area", "run_count", "x0", "y0", "x1", "y1")
    ]
