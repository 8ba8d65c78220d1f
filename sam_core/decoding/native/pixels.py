"""The pixels of a mask from its low-resolution logits: counts, box and runs in one call of the kernel."""

from ctypes import byref
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sam_core.decoding.crop_frame import CropFrame
from sam_core.decoding.native import library
from sam_core.decoding.native.arrays import Array, address, floats
from sam_core.decoding.native.structs import Cut, Measure

WORD = 64  # pixels of a column whose bits make one word: columns are padded to whole words
SLACK = 64  # extra columns of logits: a vector may begin inside a row and end after it
# the mask's logits and as many after them, which may be another mask's: slack again
LOGITS = floats(2, 4, "plane")


@dataclass(frozen=True)
class Pixels:
    """A mask in pixels of the crop."""

    stability_score: float
    area: int
    box_xyxy: tuple[int, int, int, int]  # first and last pixel; zeros for an empty mask
    runs: npt.NDArray[np.uint32]


class PixelPass:
    """Measures one mask of a crop at a time, in reused buffers: fresh pages would cost more than the work."""

    def __init__(
        self,
        frame: CropFrame,
        shown: tuple[int, int],
        plane: int,
        threshold: float,
        offset: float,
        min_stability: float,
    ) -> None:
        """shown: rows and columns of positions that show the crop; the rest as in Cut of kernel.h."""
        logit_columns = 4 * shown[1]
        rows, columns = frame.row_taps, frame.column_taps
        words = -(-frame.height // WORD)
        self._plane = plane
        self._cut = Cut.filled(
            height=frame.height,
            width=frame.width,
            padded_height=words * WORD,
            columns=logit_columns,
            plane=plane,
            row_first=rows.first_P,
            column_first=columns.first_P,
            row_weights=rows.weights_P3,
            column_weights=columns.weights_P3,
            threshold=threshold,
            offset=offset,
            min_stability=min_stability,
        )
        self._columns = np.empty((logit_columns + SLACK, words * WORD), dtype=np.float32)
        self._bits = np.empty((frame.width, words), dtype=np.uint64)
        # a mask has at most one run a pixel; pages that are never written take no memory
        self._runs = np.empty(frame.width * frame.height + 2, dtype=np.uint32)

    def pixels(self, logits: npt.NDArray[np.float32]) -> Pixels | None:
        """The mask of some logits [2, 4 sub-rows, plane], or None if its stability is under the minimum."""
        measure = Measure()
        columns, bits, runs = self._columns, self._bits, self._runs
        kernel: Any = library.loaded()
        kernel.sam_measure(
            byref(self._cut),
            address("logits", logits, LOGITS, {"plane": self._plane}),
            address("columns", columns, floats(*columns.shape)),
            address("bits", bits, Array("uint64", bits.shape)),
            byref(measure),
            address("runs", runs, Array("uint32", runs.shape)),
        )
        if measure.run_count < 0:
            return None
        return Pixels(
            measure.over_high / measure.over_low if measure.over_low else 0.0,
            measure.area,
            (measure.x0, measure.y0, measure.x1, measure.y1),
            runs[: measure.run_count].copy(),
        )
