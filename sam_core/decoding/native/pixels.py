"""The pixels of a mask from its low-resolution logits: counts, box and runs in one call of the kernel."""

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sam_core.decoding.crop_frame import CropFrame
from sam_core.decoding.native import library
from sam_core.decoding.native.library import Cut, Measure, address

SLACK = 64  # floats of slack: a vector may begin inside a row and end after it


@dataclass(frozen=True)
class Pixels:
    """A mask in pixels of the crop."""

    stability_score: float
    area: int
    box_xyxy: tuple[int, int, int, int]  # first and last pixel; zeros for an empty mask
    runs: npt.NDArray[np.uint32]


class PixelPass:
    """Masks of one crop, one at a time; its buffers are used again: fresh pages cost more than the work."""

    def __init__(
        self,
        frame: CropFrame,
        valid: tuple[int, int],
        plane: int,
        threshold: float,
        offset: float,
        min_stability: float,
    ) -> None:
        """valid: rows and columns of image positions, four logits each; the rest as in Cut of kernel.h."""
        self._row_taps = _taps(frame.rows_HL(), 4 * valid[0])
        self._column_taps = _taps(frame.columns_WM(), 4 * valid[1])
        padded_height = -(-frame.height // 64) * 64
        self._cut = Cut(
            frame.height,
            frame.width,
            padded_height,
            4 * valid[1],
            plane,
            address(self._row_taps[0]),
            address(self._column_taps[0]),
            address(self._row_taps[1]),
            address(self._column_taps[1]),
            threshold,
            offset,
            min_stability,
        )
        self._columns = np.empty((4 * valid[1] + SLACK, padded_height), dtype=np.float32)
        self._bits = np.empty((frame.width, padded_height // 64), dtype=np.uint64)
        # a mask has at most one run a pixel; pages that are never written take no memory
        self._runs = np.empty(frame.width * frame.height + 2, dtype=np.uint32)

    def pixels(self, logits: npt.NDArray[np.float32]) -> Pixels | None:
        """The mask of some logits [4 sub-rows, plane], or None where it is less stable than asked for."""
        measure = Measure()
        kernel: Any = library.loaded()
        kernel.sam_measure(
            ctypes.byref(self._cut),
            ctypes.c_void_p(address(logits)),
            ctypes.c_void_p(address(self._columns)),
            ctypes.c_void_p(address(self._bits)),
            ctypes.byref(measure),
            ctypes.c_void_p(address(self._runs)),
        )
        if measure.run_count < 0:
            return None
        return Pixels(
            measure.over_high / measure.over_low if measure.over_low else 0.0,
            measure.area,
            (measure.x0, measure.y0, measure.x1, measure.y1),
            self._runs[: measure.run_count].copy(),
        )


def _taps(
    matrix_PL: npt.NDArray[np.float32], logits: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """The first of the three neighbouring logits that make each pixel, and their weights [P, 3]."""
    first_P = np.minimum((matrix_PL != 0).argmax(axis=1), logits - 3).astype(np.int32)
    wide_PL = np.pad(matrix_PL, ((0, 0), (0, logits - matrix_PL.shape[1])))
    return first_P, np.take_along_axis(wide_PL, first_P[:, None] + np.arange(3), axis=1)
