"""C gets pointers only to arrays of the type, shape, layout and size that it reads."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from small_sam import bundled_sam

from sam_core.decoding.crop_frame import CropFrame
from sam_core.decoding.native.arrays import Array, KernelStruct, address
from sam_core.decoding.native.decoder import NativeDecoder
from sam_core.decoding.native.pixels import PixelPass
from sam_core.decoding.native.structs import (
    Cut,
    FirstAttention,
    FirstLayer,
    SecondLayer,
    Upscaling,
)
from sam_core.model.sam import Sam
from sam_core.options import MaskOptions

GRID = 8  # positions a side: one tile of the kernel
FRAME = CropFrame(20, 20, image_size=16 * GRID, low_res_size=4 * GRID)
STRUCTS = [FirstAttention, FirstLayer, SecondLayer, Upscaling, Cut]
LENGTHS = {"prompts": 3}
NUMBERS = {"tiles": 2, "height": 5, "width": 4}
POINTERS = [
    pytest.param(struct, name, id=f"{struct.__name__}.{name}")
    for struct in STRUCTS
    for name, field in struct.layout.items()
    if isinstance(field, Array)
]


def sound(struct: type[KernelStruct]) -> dict[str, Any]:
    """Valid arguments for the struct."""
    lengths = LENGTHS | NUMBERS
    values: dict[str, Any] = {name: number for name, number in NUMBERS.items() if name in struct.layout}
    for name, field in struct.layout.items():
        if isinstance(field, Array):
            shape = [lengths[length] if isinstance(length, str) else length for length in field.shape]
            values[name] = torch.zeros(shape, dtype=getattr(torch, field.dtype))
    return values


WRONG: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "bfloat16": lambda array: array.bfloat16(),
    "float64": lambda array: array.double(),
    "a row too few": lambda array: array[:-1],
    "a row too many": lambda array: torch.cat([array, array[-1:]]),
    "another number of axes": lambda array: array[None],
    "every second number": lambda array: array.repeat_interleave(2, dim=-1)[..., ::2],
    "on a device": lambda array: array.to("meta"),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize(("struct", "name"), POINTERS)
def test_every_pointer_of_every_struct_is_checked(struct: type[KernelStruct], name: str, wrong: str) -> None:
    values = sound(struct)
    struct.filled(LENGTHS, **values)
    with pytest.raises(ValueError, match=f"'{name}'"):
        struct.filled(LENGTHS, **values | {name: WRONG[wrong](values[name])})


@pytest.mark.parametrize(("struct", "name"), POINTERS)
def test_no_pointer_is_left_out(struct: type[KernelStruct], name: str) -> None:
    values = sound(struct)
    del values[name]
    with pytest.raises(ValueError, match=f"{struct.__name__} needs the arrays {name}"):
        struct.filled(LENGTHS, **values)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 6), np.float64),
        np.zeros((4, 6), ">f4"),
        np.zeros((6, 4), np.float32).T,
        np.zeros((4, 12), np.float32)[:, ::2],
        np.zeros((4, 5), np.float32),
    ],
    ids=["float64", "big-endian", "transposed", "every second number", "a column too few"],
)
def test_arrays_of_numpy_are_checked_alike(wrong: np.ndarray) -> None:
    expected = Array("float32", (4, "columns"))
    right = np.zeros((4, 6), np.float32)
    assert address("logits", right, expected, {"columns": 6}) == right.ctypes.data
    with pytest.raises(ValueError, match="'logits' as contiguous float32"):
        address("logits", wrong, expected, {"columns": 6})


def test_the_logits_of_a_mask_come_with_their_slack() -> None:
    frame, plane = CropFrame(20, 20), 64 * 64 * 4
    cut = PixelPass(frame, (64, 64), plane, 0.0, 1.0, 0.0)
    assert cut.pixels(np.ones((2, 4, plane), np.float32)) is not None
    with pytest.raises(ValueError, match="'logits'"):
        cut.pixels(np.ones((4, plane), np.float32))


@pytest.fixture(scope="module")
def sam() -> Sam:
    return bundled_sam(GRID)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_decoder_under_autocast_raises_and_reads_nothing(sam: Sam, dtype: torch.dtype) -> None:
    with torch.autocast("cpu", dtype=dtype), pytest.raises(ValueError, match=r"float32 .* got contiguous"):
        NativeDecoder(sam, torch.zeros(1, 256, GRID, GRID), FRAME, MaskOptions())


def test_half_precision_in_the_middle_of_decoding_raises(sam: Sam) -> None:
    """The weights become half precision after the decoder was made."""
    decoder = NativeDecoder(sam, torch.zeros(1, 256, GRID, GRID), FRAME, MaskOptions())
    attention = sam.mask_decoder.transformer.layers[0].cross_attn_token_to_image
    hook = attention.q_proj.register_forward_hook(lambda _, inputs, output: output.bfloat16())
    try:
        with pytest.raises(ValueError, match="'queries' as contiguous float32"):
            decoder.candidates(np.array([[3.0, 4.0]]))
    finally:
        hook.remove()
