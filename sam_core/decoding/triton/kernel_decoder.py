"""The crop decoder with kernels: a DeviceDecoder that measures, selects and encodes on the device.

In float16 and float32 kernels draw the masks too, with all prompts of a crop in one batch. Plain torch draws
them in bfloat16, for models of other sizes, and on cards that fused_decoder.CAPABILITIES does not list.
"""

import logging
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from sam_core.cached import cached_property
from sam_core.decoding.crop_frame import CropFrame
from sam_core.decoding.gpu_decoder import GROUP_PROMPTS, DeviceDecoder
from sam_core.decoding.precision import product_dtype
from sam_core.decoding.triton.crop_masks import (
    CropPlace,
    DrawnMasks,
    QueuedMasks,
    finished,
    is_served,
    queued_masks,
)
from sam_core.decoding.triton.device_taps import DeviceTaps
from sam_core.decoding.triton.fused_decoder import FusedDecoder, serves
from sam_core.decoding.triton.fused_model import FusedModel
from sam_core.decoding.triton.image_side_maps import FusedSide
from sam_core.decoding.triton.upscale import drawn
from sam_core.decoding.upscaling import shown_positions
from sam_core.masks.crops import XYXY
from sam_core.masks.image_masks import ImageMasks
from sam_core.masks.selection import masks_of_crop
from sam_core.model.device_encoder import current_card
from sam_core.model.sam import Sam
from sam_core.options import MaskOptions

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kernels:
    """The kernels that a model's crops use in one precision."""

    fused: FusedModel | None  # draws the masks; None if plain torch does

    @classmethod
    def of(cls, sam: Sam, options: MaskOptions) -> "Kernels":
        """The kernels that fit the model's sizes and the precision."""
        dtype = product_dtype(options)
        return cls(FusedModel(sam, dtype) if serves(sam, dtype) else None)


class KernelDecoder(DeviceDecoder):
    """A DeviceDecoder that uses kernels."""

    def __init__(
        self,
        sam: Sam,
        features_1Chw: torch.Tensor,
        frame: CropFrame,
        options: MaskOptions,
        kernels: Kernels,
    ) -> None:
        super().__init__(sam, features_1Chw, frame, options)
        self._fused = kernels.fused
        if self._fused is not None:
            self._batch_size = GROUP_PROMPTS

    @torch.inference_mode()
    def masks(
        self, points_N2: npt.NDArray[np.float64], crop_xyxy: XYXY, image_size: tuple[int, int]
    ) -> ImageMasks:
        """The masks of the crop for points at x, y in its pixels, as `masks_of_crop` gives them.

        Raises: torch.OutOfMemoryError if not even one prompt fits.
        """
        masks = len(points_N2) * self._sam.mask_decoder.num_multimask_outputs
        if len(points_N2) and is_served(self._frame, image_size, masks):
            try:
                with current_card(self._device):
                    return finished(self.queued(points_N2, crop_xyxy, image_size), points_N2)
            except torch.OutOfMemoryError:
                pass
            log.warning("out of device memory: the masks of %d points are selected in groups", len(points_N2))
            torch.cuda.empty_cache()  # not in the except clause, whose traceback keeps the logits alive
        candidates = self.candidates(points_N2)
        return masks_of_crop(candidates, points_N2, crop_xyxy, image_size, self._options)

    @torch.inference_mode()
    def queued(
        self, points_N2: npt.NDArray[np.float64], crop_xyxy: XYXY, image_size: tuple[int, int]
    ) -> QueuedMasks:
        """Queues all work on the points of a crop, without a wait."""
        count = len(points_N2)
        # as few batches as possible, all of one size
        batches = math.ceil(count / self._batch_size)
        self._batch_size = math.ceil(count / batches)
        logits_NMLM = self._room(count)
        ious = self._batches(
            self._coords(points_N2),
            lambda coords, start: self._drawn_to(coords, logits_NMLM[start : start + len(coords)]),
        )
        indices = torch.arange(count, device=self._device)
        return queued_masks(
            DrawnMasks(
                self._shown(logits_NMLM).flatten(0, 1),
                torch.cat(ious).flatten(),
                indices.repeat_interleave(logits_NMLM.shape[1]),
                float(self._sam.mask_threshold),
            ),
            CropPlace(DeviceTaps.of(self._frame, self._device), crop_xyxy, image_size),
            self._options,
        )

    def drawn(self, coords_B2: npt.NDArray[np.float32]) -> tuple[torch.Tensor, torch.Tensor]:
        """As in DeviceDecoder; the logits are a view of whole positions."""
        if self._fused is None:
            return super().drawn(coords_B2)
        logits_BMLM = self._room(len(coords_B2))
        return self._drawn_to(coords_B2, logits_BMLM), self._shown(logits_BMLM)

    def _drawn_to(self, coords_B2: npt.NDArray[np.float32], out_BMLM: torch.Tensor) -> torch.Tensor:
        """Predicted IoU [B, M]; writes the logits to `out`, which comes from `_room`."""
        if (fused := self._fused) is None:
            predicted_iou_BM, logits_BMLM = self._drawn_as_a_batch(coords_B2)
            self._shown(out_BMLM).copy_(logits_BMLM)
            return predicted_iou_BM
        with current_card(self._device):
            decoder = FusedDecoder(self._sam, fused.token_maps)
            prompts = decoder.decoded(self._fused_side, fused.start(self._sam, coords_B2))
            drawn(self._fused_side, prompts, self._grid, shown_positions(self._frame.shown), out_BMLM)
        return prompts.predicted_iou_N.view(len(coords_B2), -1)

    def _room(self, count: int) -> torch.Tensor:
        """Memory for the logits of `count` prompts, over whole positions."""
        rows, columns = shown_positions(self._frame.shown)
        masks = self._sam.mask_decoder.num_multimask_outputs
        dtype = torch.float32 if self._fused is None else self._fused_side.dtype
        return torch.empty(count, masks, 4 * rows, 4 * columns, dtype=dtype, device=self._device)

    def _shown(self, logits_BMLM: torch.Tensor) -> torch.Tensor:
        """The part of logits over whole positions that shows the crop."""
        rows, columns = self._frame.shown
        return logits_BMLM[..., :rows, :columns]

    @cached_property
    def _fused_side(self) -> FusedSide:
        assert self._fused is not None  # noqa: S101  asked for by `drawn` alone
        return self._fused.side_maps.of(self._features_1Chw[0].flatten(1).T)
