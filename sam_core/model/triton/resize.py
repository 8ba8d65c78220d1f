"""From an image on the device to the encoder's input: Pillow's resize bit for bit, normalised, padded square.

Three launches: one per axis, in the order of `pillow_taps.rows_first`, each a sum of a few source places with
weights of 22 bits; then the normalisation into the planes of the square. An image of another size or at
another address needs no new compilation. Oracle: `pillow_taps.taps_resize`, and
`ResizeLongestSide.apply_image` with `Sam.preprocess`.

Legend: H x W pixels, S x S the square, j counts pixels and channels of a row together.
"""

from functools import cache, lru_cache

import numpy as np
import torch
import triton
import triton.language as tl
from PIL import Image
from torch import Tensor

from sam_core.model.resize import fitted_size
from sam_core.model.triton.pillow_taps import FIXED_BITS, HALF, rows_first, taps, taps_resize

# Tuned on an H100.
BLOCK_Y, BLOCK_X = 8, 256

# (height, width) before and after: smaller, larger, both orders of the axes and sizes near the switch, a
# line.
PROBES = (
    ((41, 61), (21, 32)),
    ((61, 41), (32, 21)),
    ((9, 7), (32, 25)),
    ((1, 90), (1, 32)),
    ((90, 2), (32, 1)),
    ((60, 45), (40, 35)),
    ((61, 45), (40, 35)),
    ((300, 200), (33, 22)),
)


@triton.jit(do_not_specialize=["image", "rows", "old_width", "width", "count"])
def resize_columns_kernel(  # type: ignore[no-untyped-def]
    image, out, table, rows, old_width, width, count,
    HALF: tl.constexpr, BITS: tl.constexpr, BLOCK_Y: tl.constexpr, BLOCK_J: tl.constexpr,
):  # fmt: skip
    """[rows, old_width, 3] to [rows, width, 3]; programs use one axis, the only one without a limit."""
    blocks = tl.cdiv(width * 3, BLOCK_J)
    j = (tl.program_id(0) % blocks) * BLOCK_J + tl.arange(0, BLOCK_J)
    y = (tl.program_id(0) // blocks) * BLOCK_Y + tl.arange(0, BLOCK_Y)
    x = j // 3
    inside_j = j < width * 3
    inside_y = y < rows
    column = tl.load(table + x, mask=inside_j, other=0) * 3 + j % 3
    source = image + y.to(tl.int64)[:, None] * (old_width * 3)
    total = tl.full((BLOCK_Y, BLOCK_J), HALF, tl.int32)
    for tap in range(count):
        weight = tl.load(table + (tap + 1) * width + x, mask=inside_j, other=0)
        here = column + tap * 3
        inside = inside_y[:, None] & (inside_j & (here < old_width * 3))[None, :]
        value = tl.load(source + here[None, :], mask=inside, other=0)
        total += value.to(tl.int32) * weight[None, :]
    value = tl.minimum(tl.maximum(total >> BITS, 0), 255).to(tl.uint8)
    target = out + y.to(tl.int64)[:, None] * (width * 3) + j[None, :]
    tl.store(target, value, mask=inside_y[:, None] & inside_j[None, :])


@triton.jit(do_not_specialize=["image", "old_height", "height", "row_size", "count"])
def resize_rows_kernel(  # type: ignore[no-untyped-def]
    image, out, table, old_height, height, row_size, count,
    HALF: tl.constexpr, BITS: tl.constexpr, BLOCK_Y: tl.constexpr, BLOCK_J: tl.constexpr,
):  # fmt: skip
    """[old_height, row_size] to [height, row_size]; programs use one axis as above."""
    blocks = tl.cdiv(row_size, BLOCK_J)
    j = (tl.program_id(0) % blocks) * BLOCK_J + tl.arange(0, BLOCK_J)
    y = (tl.program_id(0) // blocks) * BLOCK_Y + tl.arange(0, BLOCK_Y)
    inside_j = j < row_size
    inside_y = y < height
    first = tl.load(table + y, mask=inside_y, other=0)
    total = tl.full((BLOCK_Y, BLOCK_J), HALF, tl.int32)
    for tap in range(count):
        weight = tl.load(table + (tap + 1) * height + y, mask=inside_y, other=0)
        row = first + tap
        inside = (inside_y & (row < old_height))[:, None] & inside_j[None, :]
        value = tl.load(image + row.to(tl.int64)[:, None] * row_size + j[None, :], mask=inside, other=0)
        total += value.to(tl.int32) * weight[:, None]
    value = tl.minimum(tl.maximum(total >> BITS, 0), 255).to(tl.uint8)
    target = out + y.to(tl.int64)[:, None] * row_size + j[None, :]
    tl.store(target, value, mask=inside_y[:, None] & inside_j[None, :])


@triton.jit(do_not_specialize=["image", "height", "width"])
def normalise_kernel(  # type: ignore[no-untyped-def]
    image, mean, std, out, height, width, side, BLOCK_Y: tl.constexpr, BLOCK_X: tl.constexpr
):  # fmt: skip
    """[height, width, 3] to [3, side, side], zeros outside; one channel per program."""
    x = tl.program_id(0) * BLOCK_X + tl.arange(0, BLOCK_X)
    y = tl.program_id(1) * BLOCK_Y + tl.arange(0, BLOCK_Y)
    channel = tl.program_id(2)
    inside = (y < height)[:, None] & (x < width)[None, :]
    source = image + y.to(tl.int64)[:, None] * (width * 3) + (x * 3 + channel)[None, :]
    grey = tl.load(source, mask=inside, other=0).to(tl.float32)
    centred = grey - tl.load(mean + channel)
    # Rounded as in torch's division; Triton's own division is only nearly the same.
    value = tl.div_rn(centred, tl.zeros_like(centred) + tl.load(std + channel))
    place = channel.to(tl.int64) * side * side + y.to(tl.int64)[:, None] * side + x[None, :]
    tl.store(out + place, tl.where(inside, value, 0.0), mask=(y < side)[:, None] & (x < side)[None, :])


def device_input(image_HW3: Tensor, side: int, mean_3: Tensor, std_3: Tensor, out_3SS: Tensor) -> None:
    """Writes the encoder's input, float32 [3, side, side].

    image_HW3: uint8 on the device. mean_3, std_3: float32 of three values, of any shape, on the device.
    """
    size = image_HW3.shape[0], image_HW3.shape[1]
    height, width = fitted_size(*size, side)
    image_HW3 = image_HW3.contiguous()
    if rows_first(size, (height, width)):
        small = _resize_columns(_resize_rows(image_HW3, height), width)
    else:
        small = _resize_rows(_resize_columns(image_HW3, width), height)
    grid = (triton.cdiv(side, BLOCK_X), triton.cdiv(side, BLOCK_Y), 3)
    normalise_kernel[grid](
        small, mean_3, std_3, out_3SS, height, width, side, BLOCK_Y=BLOCK_Y, BLOCK_X=BLOCK_X
    )


def _resize_columns(image_HW3: Tensor, width: int) -> Tensor:
    """uint8 [H, width, 3]"""
    rows, old_width, _ = image_HW3.shape
    if width == old_width:
        return image_HW3
    table = _device_taps(old_width, width, image_HW3.device)
    out = torch.empty(rows, width, 3, device=image_HW3.device, dtype=torch.uint8)
    grid = (triton.cdiv(width * 3, BLOCK_X) * triton.cdiv(rows, BLOCK_Y),)
    resize_columns_kernel[grid](
        image_HW3, out, table, rows, old_width, width, len(table) - 1,
        HALF=HALF, BITS=FIXED_BITS, BLOCK_Y=BLOCK_Y, BLOCK_J=BLOCK_X,
    )  # fmt: skip
    return out


def _resize_rows(image_HW3: Tensor, height: int) -> Tensor:
    """uint8 [height, W, 3]"""
    old_height, width, _ = image_HW3.shape
    if height == old_height:
        return image_HW3
    table = _device_taps(old_height, height, image_HW3.device)
    out = torch.empty(height, width, 3, device=image_HW3.device, dtype=torch.uint8)
    grid = (triton.cdiv(width * 3, BLOCK_X) * triton.cdiv(height, BLOCK_Y),)
    resize_rows_kernel[grid](
        image_HW3, out, table, old_height, height, width * 3, len(table) - 1,
        HALF=HALF, BITS=FIXED_BITS, BLOCK_Y=BLOCK_Y, BLOCK_J=BLOCK_X,
    )  # fmt: skip
    return out


def _device_taps(size: int, new_size: int, device: torch.device) -> Tensor:
    """`taps` on the device; copied for each image, as a stream must not read what another still writes."""
    return _host_taps(size, new_size, device.type == "cuda").to(device, non_blocking=True)


@lru_cache(maxsize=512)
def _host_taps(size: int, new_size: int, pinned: bool) -> Tensor:
    """`taps` in memory from which the device can copy without a wait."""
    table = torch.from_numpy(taps(size, new_size).copy())
    return table.pin_memory() if pinned else table


@cache
def is_exact() -> bool:
    """Whether the installed Pillow gives the same pixels as the taps for a few sizes; needs no device."""
    random = np.random.default_rng(0)
    return all(_agrees(random.integers(0, 256, (*old, 3), dtype=np.uint8), *new) for old, new in PROBES)


def _agrees(image_HW3: np.ndarray, height: int, width: int) -> bool:
    """Whether taps and Pillow give the same pixels."""
    expected = Image.fromarray(image_HW3).resize((width, height), Image.Resampling.BILINEAR)
    return np.array_equal(taps_resize(image_HW3, height, width), np.asarray(expected))
