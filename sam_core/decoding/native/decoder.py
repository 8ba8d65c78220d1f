"""The crop decoder on the C kernel.

Prompts go in batches, a batch a thread: their tokens through torch and the kernel's passes, then the masks
whose predicted IoU passes are drawn and measured while their logits are in the thread's cache.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from sam_core.decoding.crop_frame import CropFrame
from sam_core.decoding.native import library
from sam_core.decoding.native.image_tiles import TILE, image_tiles
from sam_core.decoding.native.pixels import PixelPass, Pixels
from sam_core.decoding.native.tokens import TokenBuffers, decoded_tokens, token_weights
from sam_core.decoding.native.upscaling import UpscalingPass
from sam_core.decoding.upscaling import mask_weights
from sam_core.masks.candidates import Candidates
from sam_core.model.sam import Sam
from sam_core.options import MaskOptions

BATCH = 32  # prompts at most: enough rows for torch's products; a prompt keeps 1.6 MB of features


@dataclass(frozen=True)
class _Mask:
    predicted_iou: float
    point_index: int
    pixels: Pixels


@dataclass(frozen=True)
class _Buffers:
    """What one thread writes to, batch after batch: fresh pages cost more than the work in them."""

    tokens: TokenBuffers
    logits: npt.NDArray[np.float32]
    pixels: PixelPass


class NativeDecoder:
    """A CropDecoder around one float32 embedding [1, C, h, w] on the CPU."""

    def __init__(self, sam: Sam, features_1Chw: torch.Tensor, frame: CropFrame, options: MaskOptions) -> None:
        self._sam, self._frame, self._options = sam, frame, options
        # a position is four logits a side
        valid = (-(-frame.rows_HL().shape[1] // 4), -(-frame.columns_WM().shape[1] // 4))
        with torch.inference_mode():
            _, dense_1Chw = sam.prompt_encoder(None, None, None)
            encoding_1Chw = sam.prompt_encoder.get_dense_pe()
            self._tiles = image_tiles(sam.mask_decoder, features_1Chw, dense_1Chw, encoding_1Chw, valid)
            self._weights = token_weights(sam.mask_decoder, self._tiles)
            self._upscaling = UpscalingPass(sam.mask_decoder, self._tiles)

    def candidates(self, points_N2: npt.NDArray[np.float64]) -> Candidates:
        """The masks for points at x, y in pixels of the crop."""
        threads = torch.get_num_threads()
        size = max(1, min(BATCH, self._options.points_per_batch, -(-len(points_N2) // threads)))
        starts = range(0, len(points_N2), size)
        found: list[list[_Mask]] = [[] for _ in starts]
        turns = iter(enumerate(starts))  # shared: the thread that is free takes the next batch
        workers = min(threads, len(starts))
        all_started = Barrier(workers + 1)

        def take_turns() -> None:
            # torch on one thread in each: its own pool in each would fight over the cores
            torch.set_num_threads(1)
            all_started.wait()
            buffers = self._buffers(size)
            with torch.inference_mode():
                for turn, start in turns:
                    found[turn] = list(self._masks(points_N2[start : start + size], start, buffers))

        with ThreadPoolExecutor(threads) as pool:
            tasks = [pool.submit(take_turns) for _ in range(workers)]
            all_started.wait()
            torch.set_num_threads(
                threads
            )  # each thread has its own count; this one is also that of new threads
            for task in tasks:
                task.result()
        return _candidates([mask for masks in found for mask in masks])

    def _buffers(self, prompts: int) -> _Buffers:
        tiles, options = self._tiles, self._options
        offset, min_stability = options.stability_score_offset, options.stability_score_thresh
        threshold, plane = self._sam.mask_threshold, self._upscaling.plane
        return _Buffers(
            TokenBuffers.of(prompts, tiles),
            self._upscaling.room(),
            PixelPass(self._frame, tiles.valid, plane, threshold, offset, min_stability),
        )

    def _masks(
        self, points_B2: npt.NDArray[np.float64], first_index: int, buffers: _Buffers
    ) -> Iterator[_Mask]:
        """The candidates of a batch of points, in their order and that of the mask tokens."""
        decoder, threshold = self._sam.mask_decoder, self._options.pred_iou_thresh
        coords_B12 = torch.from_numpy(self._frame.input_points(points_B2)).float()[:, None]
        labels_B1 = torch.ones(len(coords_B12), 1, dtype=torch.int)
        sparse_BTC, _ = self._sam.prompt_encoder((coords_B12, labels_B1), None, None)
        iou_BM, mask_tokens_BMC = decoded_tokens(
            decoder, self._tiles, self._weights, sparse_BTC, buffers.tokens
        )
        is_wanted_BM = iou_BM > threshold if threshold > 0 else torch.ones_like(iou_BM, dtype=torch.bool)
        hyper_BMc = mask_weights(decoder, mask_tokens_BMC)
        for prompt in torch.nonzero(is_wanted_BM.any(1))[:, 0].tolist():
            tokens = torch.nonzero(is_wanted_BM[prompt])[:, 0].tolist()
            features, upscaling = buffers.tokens.features[prompt], buffers.tokens.upscaling[prompt]
            self._upscaling.draw(features, upscaling, hyper_BMc[prompt, tokens], buffers.logits)
            for token, logits in zip(tokens, buffers.logits, strict=False):
                pixels = buffers.pixels.pixels(logits)
                if pixels:
                    yield _Mask(float(iou_BM[prompt, token]), first_index + prompt, pixels)


def is_served(sam: Sam, features_1Chw: torch.Tensor) -> bool:
    """Whether the kernel can decode this: built for this CPU, float32, and a decoder of SAM's own sizes."""
    decoder, transformer = sam.mask_decoder, cast(Any, sam.mask_decoder.transformer)
    attention = transformer.final_attn_token_to_image
    sizes = (decoder.transformer_dim, len(transformer.layers), attention.num_heads)
    return (
        {features_1Chw.device.type, sam.device.type} == {"cpu"}
        and {features_1Chw.dtype, decoder.iou_token.weight.dtype} == {torch.float32}
        and sizes == (256, 2, 8)
        and (attention.q_proj.out_features, decoder.num_mask_tokens) == (128, 4)
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
