"""The crop decoder for a GPU: batches of one shape, queued without waiting for the device.

On a CPU only masks that pass pred_iou_thresh are drawn. Here the host would have to wait for the device to
know them, and nearly every prompt has a mask that passes (infra/adr/0010-gpu-path.md). So all masks are drawn
and measured, and the host selects among them. The measures of a group of prompts come in one copy, and the
logits of the masks that NMS keeps in one more.
"""

import logging
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from sam_core.decoding.compiled import compiled
from sam_core.decoding.crop_frame import CropFrame
from sam_core.decoding.image_side import crop_side
from sam_core.decoding.low_res_mask import low_res_mask, mask_runs
from sam_core.decoding.precision import product_dtype
from sam_core.decoding.prompt_side import decoded_prompts
from sam_core.decoding.scored_masks import Measures, ScoredMasks, candidates_of, passing, scored_masks
from sam_core.decoding.upscaling import low_res_logits, mask_weights, shown_positions
from sam_core.masks.candidates import Candidates
from sam_core.model.host_copies import on_device
from sam_core.model.sam import Sam
from sam_core.options import MaskOptions

log = logging.getLogger(__name__)

# Prompts whose logits are kept until their measures are read: the default grid, 0.8 GB for a square crop
GROUP_PROMPTS = 1024


class DeviceDecoder:
    """A CropDecoder around one embedding [1, C, h, w] on a device that works while the host goes on."""

    def __init__(self, sam: Sam, features_1Chw: torch.Tensor, frame: CropFrame, options: MaskOptions) -> None:
        self._sam, self._frame, self._options = sam, frame, options
        self._device = features_1Chw.device
        self._grid = (features_1Chw.shape[2], features_1Chw.shape[3])
        self._rows_HL, self._columns_WM = frame.rows_HL(), frame.columns_WM()
        self._resize = (on_device(self._rows_HL, self._device), on_device(self._columns_WM, self._device))
        self._side = crop_side(sam, features_1Chw)
        self._batch_size = options.points_per_batch

    @torch.inference_mode()
    def candidates(self, points_N2: npt.NDArray[np.float64]) -> Candidates:
        """The masks for points at x, y in pixels of the crop.

        Raises: torch.OutOfMemoryError if not even one prompt fits.
        """
        coords_N2 = on_device(self._frame.input_points(points_N2).astype(np.float32), self._device)
        measures, masks = list[Measures](), list[torch.Tensor]()
        for start in range(0, len(points_N2), GROUP_PROMPTS):
            batches = self._group(coords_N2[start : start + GROUP_PROMPTS], start)
            # the only wait of a group
            measures_N8 = torch.cat([batch.measures_N8 for batch in batches]).cpu().numpy()
            ends = np.cumsum([len(batch.measures_N8) for batch in batches])
            for batch, batch_N8 in zip(batches, np.split(measures_N8, ends[:-1]), strict=True):
                kept = passing(batch_N8, self._options)
                measures.append(batch_N8[kept])
                masks += batch.logits_NLM[on_device(kept, self._device)].unbind()
        return candidates_of(measures, lambda order: self._runs(masks, order))

    @property
    def _shown(self) -> tuple[int, int]:
        return self._resize[0].shape[1], self._resize[1].shape[1]

    @torch.inference_mode()
    def _runs(
        self, masks: Sequence[torch.Tensor], order: npt.NDArray[np.int64]
    ) -> list[npt.NDArray[np.uint32]]:
        if not len(order):
            return []
        chosen = torch.stack([masks[index] for index in order]).cpu().numpy()
        return [mask_runs(low_res_mask(logits), self._rows_HL, self._columns_WM) for logits in chosen]

    def _group(self, coords_N2: torch.Tensor, first_index: int) -> list[ScoredMasks]:
        """All masks of a group of prompts; the batch is halved as often as the device runs out of memory."""
        batches = list[ScoredMasks]()
        start = 0
        while start < len(coords_N2):
            size = self._batch_size
            batch = self._fitting_batch(coords_N2[start : start + size], first_index + start, size)
            if batch is None:
                self._batch_size = (size + 1) // 2
                log.warning(
                    "out of device memory: decoding continues with %d points a batch", self._batch_size
                )
                # not in the except clause, whose traceback keeps the batch's tensors alive
                torch.cuda.empty_cache()
            else:
                batches.append(batch)
                start += size
        return batches

    def _fitting_batch(self, coords_B2: torch.Tensor, first_index: int, size: int) -> ScoredMasks | None:
        """The masks of the batch; None if it is too large for the device's memory and can be halved."""
        try:
            return self._batch(coords_B2, first_index, size)
        except torch.OutOfMemoryError:
            if size == 1:
                raise
        return None

    def _batch(self, coords_B2: torch.Tensor, first_index: int, size: int) -> ScoredMasks:
        """The masks of at most `size` points, decoded as exactly `size`: the last point is repeated."""
        count = len(coords_B2)
        if count < size:
            coords_B2 = torch.cat([coords_B2, coords_B2[-1:].expand(size - count, 2)])
        predicted_iou_BM, logits_BMLM = self._decoded(coords_B2)
        masks = count * predicted_iou_BM.shape[1]
        points = torch.arange(first_index, first_index + size, device=self._device)
        return scored_masks(
            logits_BMLM.flatten(0, 1)[:masks] - self._sam.mask_threshold,
            predicted_iou_BM.flatten()[:masks],
            points.repeat_interleave(predicted_iou_BM.shape[1])[:masks],
            self._resize,
            self._options.stability_score_offset,
        )

    def _decoded(self, coords_B2: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Predicted IoU [B, M] and logits [B, M, rows, columns] of B prompts."""
        decoder, side, options = self._sam.mask_decoder, self._side, self._options
        decode, draw, positions = decoded_prompts, low_res_logits, shown_positions(self._shown)
        # compiled for the whole square: the part that shows the crop differs from one crop to the next
        if options.compile_decoder:
            decode, draw, positions = compiled(decoded_prompts), compiled(low_res_logits), self._grid
        labels_B1 = torch.ones(len(coords_B2), 1, dtype=torch.int, device=self._device)
        sparse_BTC, _ = self._sam.prompt_encoder((coords_B2[:, None], labels_B1), None, None)
        decoded = decode(decoder, side, sparse_BTC, image_chunk=len(coords_B2))
        weights_BMc = mask_weights(decoder, decoded.mask_tokens_BMC)
        (tokens,), dtype, block_rows = decoded.image_tokens, product_dtype(options), self._grid[0]
        logits = draw(decoder, side, tokens, weights_BMc, self._grid, positions, block_rows, dtype)
        rows, columns = self._shown
        return decoded.predicted_iou_BM, logits[..., :rows, :columns]
