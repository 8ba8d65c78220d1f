"""The crop decoder in plain torch for a CPU: the fallback if the native kernel cannot be used.

Prompts go through the transformer and the IoU head a few at a time. Masks whose predicted IoU passes are
drawn and measured; masks that pass both thresholds are stored as the part of their logits that decides them.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from sam_core.decoding.crop_frame import CropFrame
from sam_core.decoding.image_side import crop_side
from sam_core.decoding.low_res_mask import LowResMask, low_res_mask, mask_runs
from sam_core.decoding.prompt_side import decoded_prompts
from sam_core.decoding.scored_masks import Measures, ScoredMasks, candidates_of, passing, scored_masks
from sam_core.decoding.upscaling import drawn_masks
from sam_core.masks.candidates import Candidates
from sam_core.model.sam import Sam
from sam_core.options import MaskOptions

# The image tokens of one prompt (0.9 MB a layer) fill the cache of a core; the few tokens of eight prompts
# share one pass over the weights.
PROMPTS = 8


class TorchDecoder:
    """A CropDecoder around one embedding [1, C, h, w]."""

    def __init__(self, sam: Sam, features_1Chw: torch.Tensor, frame: CropFrame, options: MaskOptions) -> None:
        self._sam, self._frame, self._options = sam, frame, options
        self._grid = (features_1Chw.shape[2], features_1Chw.shape[3])
        self._rows_HL, self._columns_WM = frame.row_taps.matrix(), frame.column_taps.matrix()
        self._resize = (torch.from_numpy(self._rows_HL), torch.from_numpy(self._columns_WM))
        self._side = crop_side(sam, features_1Chw)

    @torch.inference_mode()
    def candidates(self, points_N2: npt.NDArray[np.float64]) -> Candidates:
        """The masks for points at x, y in pixels of the crop."""
        measures, masks = list[Measures](), list[LowResMask]()
        for batch in self._batches(self._frame.input_points(points_N2)):
            kept = passing(batch.measures_N8.numpy(), self._options)
            measures.append(batch.measures_N8.numpy()[kept])
            masks += map(low_res_mask, batch.logits_NLM.numpy()[kept])
        rows_HL, columns_WM = self._rows_HL, self._columns_WM
        return candidates_of(
            measures, lambda order: (mask_runs(masks[index], rows_HL, columns_WM) for index in order)
        )

    def _batches(self, points_N2: npt.NDArray[np.float64]) -> Iterator[ScoredMasks]:
        size = min(self._options.points_per_batch, PROMPTS)
        for start in range(0, len(points_N2), size):
            yield self._batch(points_N2[start : start + size], start)

    def _batch(self, points_B2: npt.NDArray[np.float64], first_index: int) -> ScoredMasks:
        coords_B12 = torch.from_numpy(points_B2).float()[:, None]
        labels_B1 = torch.ones(len(points_B2), 1, dtype=torch.int)
        sparse_BTC, _ = self._sam.prompt_encoder((coords_B12, labels_B1), None, None)
        decoder, side, options = self._sam.mask_decoder, self._side, self._options
        decoded = decoded_prompts(decoder, side, sparse_BTC, image_chunk=1)
        drawn = drawn_masks(decoder, side, decoded, self._grid, self._frame.shown, options)
        logits_NLM = drawn.logits_NLM - self._sam.mask_threshold
        return scored_masks(
            logits_NLM,
            drawn.predicted_iou_N,
            drawn.prompt_N + first_index,
            self._resize,
            options.stability_score_offset,
        )
