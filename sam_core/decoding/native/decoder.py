"""The crop decoder on the C kernel.

Each thread decodes one batch of prompts at a time. The tokens go through torch and the kernel's passes; then
the masks whose predicted IoU passes are drawn and measured while their logits are in the thread's cache.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from sam_core.decoding.crop_frame import CropFrame
from sam_core.decoding.native import library
from sam_core.decoding.native.image_tiles import image_tiles
from sam_core.decoding.native.pixels import PixelPass, Pixels
from sam_core.decoding.native.structs import DIM, HEADS, TILE
from sam_core.decoding.native.threads import run_in_threads
from sam_core.decoding.native.tokens import KernelImage, TokenBuffers, token_weights
from sam_core.decoding.native.upscaling import UpscalingPass
from sam_core.decoding.precision import refuse_not_finite
from sam_core.decoding.token_pass import decoded_tokens
from sam_core.decoding.upscaling import mask_weights, shown_positions
from sam_core.masks.candidates import Candidates
from sam_core.masks.thresholds import passes_predicted_iou
from sam_core.model.sam import Sam
from sam_core.options import MaskOptions

BATCH = 32  # prompts at most: enough rows for torch's products; a prompt needs 1.6 MB of features


@dataclass(frozen=True)
class _Mask:
    predicted_iou: float
    point_index: int
    pixels: Pixels


@dataclass(frozen=True)
class _Buffers:
    """Memory that one thread reuses for all its batches: fresh pages would cost more than the work."""

    tokens: TokenBuffers
    logits: npt.NDArray[np.float32]
    pixels: PixelPass


class NativeDecoder:
    """A CropDecoder around one float32 embedding [1, C, h, w] on the CPU."""

    def __init__(self, sam: Sam, features_1Chw: torch.Tensor, frame: CropFrame, options: MaskOptions) -> None:
        self._sam, self._frame, self._options = sam, frame, options
        shown = shown_positions(frame.shown)
        with torch.inference_mode():
            _, dense_1Chw = sam.prompt_encoder(None, None, None)
            encoding_1Chw = sam.prompt_encoder.get_dense_pe()
            self._tiles = image_tiles(sam.mask_decoder, features_1Chw, dense_1Chw, encoding_1Chw, shown)
            self._weights = token_weights(sam.mask_decoder, self._tiles)
            self._upscaling = UpscalingPass(sam.mask_decoder, self._tiles)

    def candidates(self, points_N2: npt.NDArray[np.float64]) -> Candidates:
        """The masks for points at x, y in pixels of the crop."""
        threads = torch.get_num_threads()
        size = max(1, min(BATCH, self._options.points_per_batch, -(-len(points_N2) // threads)))
        starts = range(0, len(points_N2), size)
        masks: list[list[_Mask]] = [[] for _ in starts]
        turns = iter(enumerate(starts))  # shared: the thread that is free takes the next batch

        def take_turns() -> None:
            buffers = self._buffers(size)
            with torch.inference_mode():
                for turn, start in turns:
                    masks[turn] = list(self._masks(points_N2[start : start + size], start, buffers))

        run_in_threads(take_turns, min(threads, len(starts)))
        return _candidates([mask for batch in masks for mask in batch])

    def _buffers(self, prompts: int) -> _Buffers:
        tiles, options = self._tiles, self._options
        offset, min_stability = options.stability_score_offset, options.stability_score_thresh
        threshold, plane = self._sam.mask_threshold, self._upscaling.plane
        return _Buffers(
            TokenBuffers.of(prompts, tiles),
            self._upscaling.buffer(),
            PixelPass(self._frame, tiles.shown, plane, threshold, offset, min_stability),
        )

    def _masks(
        self, points_B2: npt.NDArray[np.float64], first_index: int, buffers: _Buffers
    ) -> Iterator[_Mask]:
        """The candidates of a batch of points, in the order of points, then of mask tokens."""
        decoder, logits = self._sam.mask_decoder, buffers.logits
        coords_B12 = torch.from_numpy(self._frame.input_points(points_B2)).float()[:, None]
        labels_B1 = torch.ones(len(coords_B12), 1, dtype=torch.int)
        sparse_BTC, _ = self._sam.prompt_encoder((coords_B12, labels_B1), None, None)
        image = KernelImage(decoder.transformer, self._tiles, self._weights, buffers.tokens)
        decoded = decoded_tokens(decoder, image, sparse_BTC)
        iou_BM = decoded.predicted_iou_BM.numpy()
        refuse_not_finite(np.isfinite(iou_BM).all(), self._options)
        passes_BM = passes_predicted_iou(iou_BM, self._options)
        hyper_BMc = mask_weights(decoder, decoded.mask_tokens_BMC)
        for prompt in np.flatnonzero(passes_BM.any(axis=1)).tolist():
            tokens = np.flatnonzero(passes_BM[prompt]).tolist()
            features, rows = buffers.tokens.features[prompt], buffers.tokens.upscaling[prompt]
            self._upscaling.draw(features, rows, hyper_BMc[prompt, tokens], logits)
            for place, token in enumerate(tokens):
                pixels = buffers.pixels.pixels(logits[place : place + 2])
                if pixels:
                    yield _Mask(float(iou_BM[prompt, token]), first_index + prompt, pixels)


def is_served(sam: Sam, features_1Chw: torch.Tensor) -> bool:
    """Whether the kernel can decode this: built for this CPU, float32, and a decoder of SAM's own sizes."""
    decoder = sam.mask_decoder
    attention = decoder.transformer.final_attn_token_to_image
    sizes = (decoder.transformer_dim, len(decoder.transformer.layers), attention.num_heads)
    return (
        {features_1Chw.device.type, sam.device.type} == {"cpu"}
        and {features_1Chw.dtype, decoder.iou_token.weight.dtype} == {torch.float32}
        and sizes == (2 * DIM, 2, HEADS)
        and (attention.q_proj.out_features, decoder.num_mask_tokens) == (DIM, 4)
        and features_1Chw[0, 0].numel() % TILE == 0
        and library.loaded() is not None
    )


def _candidates(masks: list[_Mask]) -> Candidates:
    return Candidates(
        predicted_iou_N=np.array([mask.predicted_iou for mask in masks], dtype=np.float32),
        stability_score_N=np.array([mask.pixels.stability_score for mask in masks], dtype=np.float32),
        area_N=np.array([mask.pixels.area for mask in masks], dtype=np.int64),
        box_xyxy_N4=np.array([mask.pixels.box_xyxy for mask in masks], dtype=np.int64).reshape(-1, 4),
        point_index_N=np.array([mask.point_index for mask in masks], dtype=np.int64),
        runs=lambda order: (masks[index].pixels.runs for index in order),
    )
