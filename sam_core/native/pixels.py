"""From decoded tokens to measured masks: the kernel's upscaling, and its one pass over the crop's pixels."""

import ctypes
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from sam_core.crop_frame import CropFrame
from sam_core.native.image_tiles import TILE, ImageTiles, second_convolution
from sam_core.native.library import Cut, Measure, Upscaling, address, loaded
from sam_core.native.tokens import DecodedTokens
from sam_core.options import MaskOptions
from sam_core.sam import Sam
from sam_core.upscaling import mask_weights


@dataclass(frozen=True)
class Mask:
    """One candidate, in pixels of the crop."""

    predicted_iou: float
    stability_score: float
    area: int
    box_xyxy: tuple[int, int, int, int]
    point_index: int
    runs: npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Workspace:
    """Buffers of one thread, used again for every prompt: fresh pages cost more than the work in them."""

    logits: npt.NDArray[np.float32]
    columns: npt.NDArray[np.float32]
    bits: npt.NDArray[np.uint64]
    runs: npt.NDArray[np.uint32]


class MaskPass:
    """Draws and measures the masks of one crop."""

    def __init__(self, sam: Sam, tiles: ImageTiles, frame: CropFrame, options: MaskOptions) -> None:
        self._decoder, self._options = sam.mask_decoder, options
        self._tiles = tiles
        self._second = second_convolution(sam.mask_decoder)
        self._logit_columns = 4 * tiles.valid[1]
        self._row_taps = _taps(frame.rows_HL(), 4 * tiles.valid[0])
        self._column_taps = _taps(frame.columns_WM(), self._logit_columns)
        self._upscaling = self._upscaling_arguments()
        self._cut = Cut(
            height=frame.height,
            width=frame.width,
            padded_height=-(-frame.height // 64) * 64,
            columns=self._logit_columns,
            plane=4 * TILE * len(tiles.upscaling),
            row_first=address(self._row_taps[0]),
            column_first=address(self._column_taps[0]),
            row_weights=address(self._row_taps[1]),
            column_weights=address(self._column_taps[1]),
            threshold=sam.mask_threshold,
            offset=options.stability_score_offset,
            min_stability=options.stability_score_thresh,
        )

    def workspace(self) -> Workspace:
        """Room for one prompt at a time."""
        cut = self._cut
        return Workspace(
            logits=np.zeros(3 * 4 * cut.plane + TILE, dtype=np.float32),  # vectors may read past the last row
            columns=np.empty((cut.columns + TILE, cut.padded_height), dtype=np.float32),
            bits=np.empty((cut.width, cut.padded_height // 64), dtype=np.uint64),
            # at most one run a pixel; pages that are never written take no memory
            runs=np.empty(cut.width * cut.height + 2, dtype=np.uint32),
        )

    def masks(self, decoded: DecodedTokens, first_index: int, space: Workspace) -> list[Mask]:
        """The candidates of a batch of prompts, in the order of prompts and mask tokens."""
        iou_BM = decoded.predicted_iou_BM
        threshold = self._options.pred_iou_thresh
        is_wanted_BM = iou_BM > threshold if threshold > 0 else torch.ones_like(iou_BM, dtype=torch.bool)
        hyper_BMc = mask_weights(self._decoder, decoded.mask_tokens_BMC)
        found = []
        for prompt in torch.nonzero(is_wanted_BM.any(1))[:, 0].tolist():
            tokens = torch.nonzero(is_wanted_BM[prompt])[:, 0].tolist()
            # [98, 256] to blocks of four outputs, each [98, 4]
            mix = decoded.upscaling_BRN[prompt].reshape(-1, 64, 4).transpose(0, 1).contiguous()
            self._draw(decoded.features[prompt], mix, hyper_BMc[prompt, tokens], space)
            for place, token in enumerate(tokens):
                measure = self._measure(place, space)
                if measure.run_count >= 0:
                    found.append(_mask(measure, float(iou_BM[prompt, token]), first_index + prompt, space))
        return found

    def _draw(
        self, features: torch.Tensor, mix: torch.Tensor, hyper_Mc: torch.Tensor, space: Workspace
    ) -> None:
        cast(Any, loaded()).sam_logits(
            ctypes.byref(self._upscaling),
            ctypes.c_void_p(address(features)),
            ctypes.c_void_p(address(mix)),
            ctypes.c_void_p(address(hyper_Mc)),
            len(hyper_Mc),
            ctypes.c_void_p(address(space.logits)),
        )

    def _measure(self, place: int, space: Workspace) -> Measure:
        """Of the mask whose logits are at that place of the workspace; its runs go there too."""
        measure = Measure()
        cast(Any, loaded()).sam_measure(
            ctypes.byref(self._cut),
            ctypes.c_void_p(address(space.logits[place * 4 * self._cut.plane :])),
            ctypes.c_void_p(address(space.columns)),
            ctypes.c_void_p(address(space.bits)),
            ctypes.byref(measure),
            ctypes.c_void_p(address(space.runs)),
        )
        return measure

    def _upscaling_arguments(self) -> Upscaling:
        _, norm, _, second, _ = cast(Any, self._decoder.output_upscaling)
        return Upscaling(
            len(self._tiles.upscaling),
            norm.eps,
            address(self._tiles.upscaling),
            address(self._tiles.upscaling_bias),
            address(norm.weight),
            address(norm.bias),
            address(self._second),
            address(second.bias),
        )


def _mask(measure: Measure, predicted_iou: float, point_index: int, space: Workspace) -> Mask:
    stability = measure.over_high / measure.over_low if measure.over_low else 0.0
    box_xyxy = (measure.x0, measure.y0, measure.x1, measure.y1)
    runs = space.runs[: measure.run_count].copy()
    return Mask(predicted_iou, stability, measure.area, box_xyxy, point_index, runs)


def _taps(
    matrix_PL: npt.NDArray[np.float32], logits: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """The first of the three neighbouring logits that make each pixel, and their weights [P, 3]."""
    first_P = np.minimum((matrix_PL != 0).argmax(axis=1), logits - 3).astype(np.int32)
    wide_PL = np.pad(matrix_PL, ((0, 0), (0, logits - matrix_PL.shape[1])))
    return first_P, np.take_along_axis(wide_PL, first_P[:, None] + np.arange(3), axis=1)
