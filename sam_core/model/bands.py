"""Runs layers piece by piece, so that their wide inner values stay in the CPU's cache.

TinyViT's early maps are 67 MB each at 1024 pixels. In main memory, in fresh pages from the operating system,
they took three times as long as in bands of rows, which give the same result to the last bit. On devices
other than the CPU everything is one piece.
"""

from collections.abc import Callable

import torch
from torch import Tensor

OUTPUT_ROWS = 32  # 8 MB for the widest inner map of MobileSAM; 16 to 64 were equally fast
CHUNK_TOKENS = 1024  # 5 MB for the widest inner layer of MobileSAM; 256 to 2048 were equally fast


def run_in_bands(layer: Callable[[Tensor], Tensor], x_BCHW: Tensor, stride: int) -> Tensor:
    """`layer(x)`; the layer must divide the height by `stride` and read at most `stride` rows past a band."""
    if x_BCHW.device.type != "cpu":
        return layer(x_BCHW)
    height, rows = x_BCHW.shape[2], OUTPUT_ROWS * stride
    bands = []
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        first = max(top - stride, 0)
        out = layer(x_BCHW[:, :, first : bottom + stride])
        skipped = (top - first) // stride
        bands.append(out[:, :, skipped : skipped + -(-(bottom - top) // stride)])
    return torch.cat(bands, dim=2)


def run_in_chunks(layer: Callable[[Tensor], Tensor], x_BHWC: Tensor) -> Tensor:
    """`layer(x)`; the layer must handle each position on its own and keep the shape."""
    if x_BHWC.device.type != "cpu":
        return layer(x_BHWC)
    chunks = torch.split(x_BHWC.flatten(0, 2), CHUNK_TOKENS)
    return torch.cat([layer(chunk) for chunk in chunks]).view(x_BHWC.shape)
