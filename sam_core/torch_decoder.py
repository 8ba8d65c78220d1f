"""The crop decoder in plain torch: for any device, and the fallback where the native kernel is not.

A batch of prompts goes through the transformer and the IoU head; masks are drawn, measured, and kept as the
part of their logits that decides them.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from sam_core.candidates import Candidates
from sam_core.crop_frame import CropFrame
from sam_core.drawing import drawn_masks
from sam_core.image_side import image_side
from sam_core.low_res_mask import LowResMask, low_res_mask, mask_runs
from sam_core.mask_measures import mask_measures
from sam_core.options import MaskOptions
from sam_core.prompt_side import decoded_prompts
from sam_core.sam import Sam

log = logging.getLogger(__name__)

# On a CPU the image tokens of one prompt (0.9 MB a layer) fill the cache of a core, and the few tokens of
# eight prompts share one reading of the weights; a GPU takes the whole batch. Measured:
# tests/bench/RESULTS.md.
CPU_PROMPTS = 8


@dataclass(frozen=True)
class _Batch:
    """N masks of one batch of prompts, on the device."""

    # predicted IoU, stability score, area, box XYXY, index of the point: one tensor, so that one copy brings
    # it to the host, and in float64, which holds each of them exactly
    measures_N8: torch.Tensor
    logits_NLM: torch.Tensor


class TorchDecoder:
    """A CropDecoder around one embedding [1, C, h, w]."""

    def __init__(self, sam: Sam, features_1Chw: torch.Tensor, frame: CropFrame, options: MaskOptions) -> None:
        self._sam, self._frame, self._options = sam, frame, options
        self._device = features_1Chw.device
        self._is_on_cpu = self._device.type == "cpu"
        self._grid = (features_1Chw.shape[2], features_1Chw.shape[3])
        self._rows_HL, self._columns_WM = frame.rows_HL(), frame.columns_WM()
        self._device_rows_HL = torch.from_numpy(self._rows_HL).to(self._device)
        self._device_columns_WM = torch.from_numpy(self._columns_WM).to(self._device)
        with torch.inference_mode():
            _, dense_1Chw = sam.prompt_encoder(None, None, None)
            encoding_1Chw = sam.prompt_encoder.get_dense_pe()
            self._side = image_side(sam.mask_decoder, features_1Chw, dense_1Chw, encoding_1Chw)

    @torch.inference_mode()
    def candidates(self, points_N2: npt.NDArray[np.float64]) -> Candidates:
        """The masks for points at x, y in pixels of the crop.

        Raises: torch.OutOfMemoryError where not even one prompt fits.
        """
        batches = self._batches(self._frame.input_points(points_N2))
        if not self._is_on_cpu:
            batches = iter(list(batches))  # a GPU gets all its work before the first answer is asked for
        measures, masks = [np.empty((0, 8))], list[LowResMask | torch.Tensor]()
        for batch in batches:
            measures_N8 = batch.measures_N8.cpu().numpy()
            kept = self._passing(measures_N8)
            measures.append(measures_N8[kept])
            logits_NLM = batch.logits_NLM[torch.from_numpy(kept).to(self._device)]
            masks += map(low_res_mask, logits_NLM.numpy()) if self._is_on_cpu else logits_NLM
        columns = np.concatenate(measures).T
        return Candidates(
            predicted_iou_N=columns[0].astype(np.float32),
            stability_score_N=columns[1].astype(np.float32),
            area_N=columns[2].astype(np.int64),
            box_xyxy_N4=columns[3:7].T.astype(np.int64),
            point_index_N=columns[7].astype(np.int64),
            runs=lambda index: self._runs(masks[index]),
        )

    def _passing(self, measures_N8: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        iou_N, stability_N = measures_N8[:, 0].astype(np.float32), measures_N8[:, 1].astype(np.float32)
        options = self._options
        passes = np.ones(len(iou_N), dtype=bool)
        if options.pred_iou_thresh > 0:
            passes &= iou_N > np.float32(options.pred_iou_thresh)
        if options.stability_score_thresh > 0:
            passes &= stability_N >= np.float32(options.stability_score_thresh)
        return np.flatnonzero(passes)

    def _runs(self, mask: LowResMask | torch.Tensor) -> npt.NDArray[np.uint32]:
        if isinstance(mask, torch.Tensor):
            mask = low_res_mask(mask.float().cpu().numpy())
        return mask_runs(mask, self._rows_HL, self._columns_WM)

    def _batches(self, points_N2: npt.NDArray[np.float64]) -> Iterator[_Batch]:
        """The masks of all points, a batch at a time; out of memory halves the batch and goes on."""
        size = self._options.points_per_batch
        size = min(size, CPU_PROMPTS) if self._is_on_cpu else size
        start = 0
        while start < len(points_N2):
            try:
                batch = self._batch(points_N2[start : start + size], start, size)
            except torch.OutOfMemoryError:
                if size == 1:
                    raise
                size = (size + 1) // 2
                log.warning("out of device memory: going on with %d points a batch", size)
                torch.cuda.empty_cache()
                continue
            yield batch
            start += size

    def _batch(self, points_B2: npt.NDArray[np.float64], first_index: int, size: int) -> _Batch:
        count = len(points_B2)
        if not self._is_on_cpu and count < size:  # a GPU sees one shape only: the last batch is filled up
            points_B2 = np.concatenate([points_B2, np.repeat(points_B2[-1:], size - count, axis=0)])
        coords_B12 = torch.from_numpy(points_B2).float()[:, None].to(self._device)
        labels_B1 = torch.ones(len(points_B2), 1, dtype=torch.int, device=self._device)
        sparse_BTC, _ = self._sam.prompt_encoder((coords_B12, labels_B1), None, None)
        decoder, side = self._sam.mask_decoder, self._side
        decoded = decoded_prompts(decoder, side, sparse_BTC, image_chunk=1 if self._is_on_cpu else size)
        rows_HL, columns_WM = self._device_rows_HL, self._device_columns_WM
        shown = (rows_HL.shape[1], columns_WM.shape[1])
        drawn = drawn_masks(decoder, side, decoded, self._grid, shown, self._options.pred_iou_thresh)
        logits_NLM = drawn.logits_NLM - self._sam.mask_threshold
        measures = mask_measures(logits_NLM, rows_HL, columns_WM, self._options.stability_score_offset)
        columns = [drawn.predicted_iou_N, measures.stability_score_N, measures.area_N]
        columns += [*measures.box_xyxy_N4.T, drawn.prompt_N + first_index]
        measures_N8 = torch.stack([column.double() for column in columns], dim=1)
        masks = len(measures_N8) if self._is_on_cpu else len(measures_N8) * count // size
        return _Batch(measures_N8[:masks], logits_NLM[:masks])
