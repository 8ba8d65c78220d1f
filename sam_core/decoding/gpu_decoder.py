"""The crop decoder for a GPU: batches of one shape, queued without waiting for the device.

On a CPU only masks that pass pred_iou_thresh are drawn. Here the host would have to wait for the device to
learn which masks pass, and nearly every prompt has one that does (infra/adr/0010-gpu-path.md). So all masks
are drawn and measured, and the host selects among them. One copy brings the measures of a group of prompts
to the host, and one more the logits of the masks that NMS keeps.

This is plain torch, for any device. triton/kernel_decoder.py builds on it where there are kernels.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from sam_core.cached import cached_property
from sam_core.decoding.crop_frame import CropFrame
from sam_core.decoding.image_side import ImageSide, crop_side
from sam_core.decoding.low_res_mask import low_res_mask, mask_runs
from sam_core.decoding.precision import product_dtype, refuse_not_finite
from sam_core.decoding.prompt_side import DecodedPrompts, decoded_prompts
from sam_core.decoding.scored_masks import Measures, ScoredMasks, candidates_of, passing, scored_masks
from sam_core.decoding.upscaling import low_res_logits, mask_weights, shown_positions
from sam_core.masks.candidates import Candidates
from sam_core.model.host_copies import on_device
from sam_core.model.sam import Sam
from sam_core.options import MaskOptions

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

# Prompts whose logits are kept until their measures are read: the default grid, 0.8 GB for a square crop
GROUP_PROMPTS = 1024


class DeviceDecoder:
    """A CropDecoder for one embedding [1, C, h, w] on a device that works asynchronously to the host."""

    def __init__(self, sam: Sam, features_1Chw: torch.Tensor, frame: CropFrame, options: MaskOptions) -> None:
        self._sam, self._features_1Chw, self._frame, self._options = sam, features_1Chw, frame, options
        self._device = features_1Chw.device
        self._grid = (features_1Chw.shape[2], features_1Chw.shape[3])
        self._batch_size = options.points_per_batch

    @torch.inference_mode()
    def candidates(self, points_N2: npt.NDArray[np.float64]) -> Candidates:
        """The masks for points at x, y in pixels of the crop.

        Raises: torch.OutOfMemoryError if not even one prompt fits.
        """
        coords_N2 = self._coords(points_N2)
        measures, masks = list[Measures](), list[torch.Tensor]()
        for start in range(0, len(points_N2), GROUP_PROMPTS):
            group_N2 = coords_N2[start : start + GROUP_PROMPTS]
            batches = self._batches(group_N2, partial(self._scored, group_index=start))
            # the only point where a group waits for the device
            measures_N8 = torch.cat([batch.measures_N8 for batch in batches]).cpu().numpy()
            refuse_not_finite(np.isfinite(measures_N8[:, 0]).all(), self._options)
            ends = np.cumsum([len(batch.measures_N8) for batch in batches])
            for batch, batch_N8 in zip(batches, np.split(measures_N8, ends[:-1]), strict=True):
                kept = passing(batch_N8, self._options)
                measures.append(batch_N8[kept])
                masks += batch.logits_NLM[on_device(kept, self._device)].unbind()
        return candidates_of(measures, lambda order: self._runs(masks, order))

    def drawn(self, coords_B2: npt.NDArray[np.float32]) -> tuple[torch.Tensor, torch.Tensor]:
        """Predicted IoU [B, M], logits [B, M, rows, columns] over the crop; points in the model's input."""
        decoder, decoded = self._sam.mask_decoder, self._decoded(coords_B2)
        positions = shown_positions(self._frame.shown)
        weights_BMc = mask_weights(decoder, decoded.mask_tokens_BMC)
        (tokens,), dtype, block_rows = decoded.image_tokens, product_dtype(self._options), self._grid[0]
        logits = low_res_logits(
            decoder, self._side, tokens, weights_BMc, self._grid, positions, block_rows, dtype
        )
        rows, columns = self._frame.shown
        return decoded.predicted_iou_BM, logits[..., :rows, :columns]

    def _decoded(self, coords_B2: npt.NDArray[np.float32]) -> DecodedPrompts:
        """The answers to the prompts, all in one chunk of image tokens."""
        labels_B1 = torch.ones(len(coords_B2), 1, dtype=torch.int, device=self._device)
        coords_B12 = on_device(coords_B2, self._device)[:, None]
        sparse_BTC, _ = self._sam.prompt_encoder((coords_B12, labels_B1), None, None)
        return decoded_prompts(self._sam.mask_decoder, self._side, sparse_BTC, image_chunk=len(coords_B2))

    @cached_property
    def _side(self) -> ImageSide:
        return crop_side(self._sam, self._features_1Chw)

    @cached_property
    def _resize(self) -> tuple[torch.Tensor, torch.Tensor]:
        matrices = (self._frame.row_taps.matrix(), self._frame.column_taps.matrix())
        return on_device(matrices[0], self._device), on_device(matrices[1], self._device)

    def _coords(self, points_N2: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """Points of the crop in pixels of the model's input."""
        return self._frame.input_points(points_N2).astype(np.float32)

    def _batches(
        self, coords_N2: npt.NDArray[np.float32], answer: Callable[[npt.NDArray[np.float32], int], Answer]
    ) -> list[Answer]:
        """`answer(coords, index of the first)` for batches of the points.

        Halves the batch each time the device runs out of memory.
        """
        answers = list[Answer]()
        start = 0
        while start < len(coords_N2):
            size = self._batch_size
            try:
                answers.append(answer(coords_N2[start : start + size], start))
                start += size
                continue
            except torch.OutOfMemoryError:
                if size == 1:
                    raise
            # not in the except clause, whose traceback keeps the batch's tensors alive
            self._batch_size = (size + 1) // 2
            log.warning("out of device memory: decoding continues with %d points per batch", self._batch_size)
            torch.cuda.empty_cache()
        return answers

    def _drawn_as_a_batch(self, coords_B2: npt.NDArray[np.float32]) -> tuple[torch.Tensor, torch.Tensor]:
        """As `drawn`, with the points padded to the full batch by repeating the last one."""
        count = len(coords_B2)
        if count < self._batch_size:
            coords_B2 = np.concatenate([coords_B2, np.tile(coords_B2[-1:], (self._batch_size - count, 1))])
        predicted_iou_BM, logits_BMLM = self.drawn(coords_B2)
        return predicted_iou_BM[:count], logits_BMLM[:count]

    def _scored(self, coords_B2: npt.NDArray[np.float32], index: int, group_index: int = 0) -> ScoredMasks:
        """The batch's masks with their measures; `index` is the place of its first point in the group."""
        first_index = group_index + index
        predicted_iou_BM, logits_BMLM = self._drawn_as_a_batch(coords_B2)
        points = torch.arange(first_index, first_index + len(coords_B2), device=self._device)
        return scored_masks(
            logits_BMLM.flatten(0, 1).float() - self._sam.mask_threshold,
            predicted_iou_BM.flatten(),
            points.repeat_interleave(predicted_iou_BM.shape[1]),
            self._resize,
            self._options.stability_score_offset,
        )

    @torch.inference_mode()
    def _runs(
        self, masks: Sequence[torch.Tensor], order: npt.NDArray[np.int64]
    ) -> list[npt.NDArray[np.uint32]]:
        if not len(order):
            return []
        chosen = torch.stack([masks[index] for index in order]).cpu().numpy()
        rows_HL, columns_WM = self._frame.row_taps.matrix(), self._frame.column_taps.matrix()
        return [mask_runs(low_res_mask(logits), rows_HL, columns_WM) for logits in chosen]
