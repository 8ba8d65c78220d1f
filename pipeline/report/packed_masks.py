"""Packs the masks of an image into few bytes for a page: exact numbers, and pixels on a small grid.

Runs go along the rows, like the pixels of a canvas. Each mask is a list of LEB128 numbers, in turn the cells
outside of it and inside; they add up to the cells of the grid.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.reading.record import Record
from sam_core.masks.rle import runs_of_mask

SIDES = (640, 480, 320, 240, 160, 112, 80)  # longest side of the grid; the finest that fits is used
NUMBERS_BYTES = 38  # of text: the three numbers of a mask, and its counterpart in another dataset
AT_ONCE = 32  # masks decoded together: 10 MB on the finest grid


@dataclass(frozen=True)
class PackedMasks:
    """N masks; the first `drawn` of them have their pixels here."""

    masks: int
    left_out: int  # masks of the image that are not in here
    numbers: dict[str, str]  # base64 of little-endian arrays of N
    runs: bytes
    drawn: int
    grid_height: int
    grid_width: int

    @property
    def text_bytes(self) -> int:
        """The bytes that they take in the page."""
        return sum(map(len, self.numbers.values())) + 4 * len(self.runs) // 3

    def as_json(self) -> dict[str, Any]:
        return {
            "masks": self.masks,
            "left_out": self.left_out,
            **self.numbers,
            "drawn": self.drawn,
            "grid": [self.grid_width, self.grid_height],
            "runs": _base64(self.runs),
        }


def packed_masks(record: Record, most_bytes: int) -> PackedMasks:
    """The record's masks within `most_bytes` of text.

    Many masks get a coarser grid. If even that is too large, the last masks have no pixels. Call `fitting`
    first, so that the numbers fit.
    """
    numbers = {
        "iou": _base64(record.predicted_iou.astype("<f4").tobytes()),
        "stability": _base64(record.stability_score.astype("<f4").tobytes()),
        "area": _base64(record.area.astype("<u4").tobytes()),
    }
    room = 3 * (most_bytes - sum(map(len, numbers.values()))) // 4
    for side in SIDES:
        height, width = grid_size(record, side)
        runs = _fitting_runs(record, height, width, room)
        if len(runs) == len(record):
            break
    return PackedMasks(
        len(record), record["num_masks"] - len(record), numbers, b"".join(runs), len(runs), height, width
    )


def fitting(record: Record, most_bytes: int) -> Record:
    """The record with only so many of its first masks that their numbers take a third of `most_bytes`."""
    return record.select(np.arange(min(len(record), most_bytes // (3 * NUMBERS_BYTES))))


def grid_size(record: Record, side: int) -> tuple[int, int]:
    """Height and width of the image scaled down so that its longer side is at most `side`."""
    scale = min(1.0, side / max(record.height, record.width))
    return max(1, round(record.height * scale)), max(1, round(record.width * scale))


def _fitting_runs(record: Record, height: int, width: int, room: int) -> list[bytes]:
    """The runs of the first masks, as many as fit into `room` bytes."""
    fitting: list[bytes] = []
    for start in range(0, len(record), AT_ONCE):
        for runs in _runs(record.select(np.arange(start, min(start + AT_ONCE, len(record)))), height, width):
            room -= len(runs)
            if room < 0:
                return fitting
            fitting.append(runs)
    return fitting


def _runs(record: Record, height: int, width: int) -> Iterator[bytes]:
    """The runs of each mask along the rows of the grid."""
    for mask_HW, box_xywh in zip(record.masks((height, width)), record.bbox_xywh, strict=True):
        if not mask_HW.any():  # too small for the grid: the cell of its middle stands for it
            x, y = box_xywh[:2] + box_xywh[2:] / 2
            mask_HW[_cell(y, record.height, height), _cell(x, record.width, width)] = True
        # runs_of_mask goes down the columns, so the mask is transposed
        yield varints(runs_of_mask(mask_HW.T))


def _cell(pixel: float, pixels: int, cells: int) -> int:
    return min(int(pixel * cells / pixels), cells - 1)


def varints(values_N: NDArray[np.uint32]) -> bytes:
    """Numbers below 2**28 as LEB128: seven bits a byte, the lowest first, the top bit set if more follow."""
    sizes_N = 1 + np.searchsorted([1 << 7, 1 << 14, 1 << 21], values_N, side="right")
    starts_N = np.cumsum(sizes_N) - sizes_N
    out = np.zeros(int(sizes_N.sum()), np.uint8)
    for place in range(4):
        has_N = sizes_N > place
        more_N = np.where(sizes_N[has_N] > place + 1, 128, 0)
        out[starts_N[has_N] + place] = values_N[has_N] >> 7 * place & 127 | more_N
    return out.tobytes()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
