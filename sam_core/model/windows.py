"""Square windows of a feature map, for attention inside windows.

Legend: B images, H x W positions, C channels, N windows of S x S positions, row by row.
"""

from torch import Tensor
from torch.nn import functional as F


def window_partition(x_BHWC: Tensor, window_size: int) -> Tensor:
    """Windows [B * N, S * S, C]; the map is padded with zeros at the bottom and the right."""
    B, H, W, C = x_BHWC.shape
    padded = F.pad(x_BHWC, (0, 0, 0, -W % window_size, 0, -H % window_size))
    rows, columns = padded.shape[1] // window_size, padded.shape[2] // window_size
    grid = padded.view(B, rows, window_size, columns, window_size, C)
    return grid.transpose(2, 3).reshape(B * rows * columns, window_size * window_size, C)


def window_merge(windows: Tensor, window_size: int, height: int, width: int) -> Tensor:
    """Map [B, H, W, C] from windows [B * N, S * S, C]: undoes `window_partition` and drops the padding."""
    rows, columns = -(-height // window_size), -(-width // window_size)
    C = windows.shape[-1]
    grid = windows.view(-1, rows, columns, window_size, window_size, C)
    padded = grid.transpose(2, 3).reshape(-1, rows * window_size, columns * window_size, C)
    return padded[:, :height, :width]
