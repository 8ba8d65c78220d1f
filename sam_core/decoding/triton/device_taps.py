"""The taps of a crop's frame, copied to the device for the kernels."""

from dataclasses import dataclass

import numpy as np
import torch

from sam_core.decoding.crop_frame import CropFrame
from sam_core.decoding.taps import TAPS
from sam_core.model.host_copies import on_device

# Arrays start at multiples of this many 32-bit numbers: kernels are compiled for the alignment of arguments
ALIGNED = 32


@dataclass(frozen=True)
class DeviceTaps:
    """Taps of both sides on a device, H x W pixels from L x M logits: views of one copied array."""

    height: int
    width: int
    rows: int  # of logits that show the crop
    columns: int
    row_start: torch.Tensor  # int32 [L + 1]: how many rows of pixels begin before this row of logits
    row_first: torch.Tensor  # int32 [H]
    column_first: torch.Tensor  # int32 [W]
    row_weights: torch.Tensor  # float32 [H, 3]
    column_weights: torch.Tensor  # float32 [W, 3]

    @classmethod
    def of(cls, frame: CropFrame, device: torch.device) -> "DeviceTaps":
        """The frame's taps; nothing waits for the device."""
        rows, columns = frame.row_taps, frame.column_taps
        row_start = np.searchsorted(rows.first_P, np.arange(rows.logits + 1)).astype(np.int32)
        weights = [taps.weights_P3.ravel().view(np.int32) for taps in (rows, columns)]
        parts = [row_start, rows.first_P, columns.first_P, *weights]
        padded = [np.pad(part, (0, -len(part) % ALIGNED)) for part in parts]
        line = on_device(np.concatenate(padded), device)
        ends = np.cumsum([len(part) for part in padded]).tolist()
        views = [line[start : start + len(part)] for start, part in zip([0, *ends[:-1]], parts, strict=True)]
        return cls(
            frame.height,
            frame.width,
            *frame.shown,
            *views[:3],
            *(view.view(torch.float32).view(-1, TAPS) for view in views[3:]),
        )
