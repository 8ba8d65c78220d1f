"""The crop decoder on the C kernel.

Prompts go in batches, a batch a thread: their tokens through torch and the kernel's passes, then the masks
whose predicted IoU passes are drawn and measured while their logits are in the thread's cache.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from sam_core.candidates import Candidates
from sam_core.crop_frame import CropFrame
from sam_core.native import library
from sam_core.native.image_tiles import TILE, image_tiles
from sam_core.native.pixels import Mask, MaskPass, Workspace
from sam_core.native.tokens import FEATURES, decoded_tokens, projected_weights
from sam_core.options import MaskOptions
from sam_core.sam import Sam

BATCH = 32  # prompts at most: enough rows for torch's products; a batch keeps 1.6 MB of features a prompt


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
            self._weights = projected_weights(sam.mask_decoder, self._tiles)
            self._masks = MaskPass(sam, self._tiles, frame, options)

    def candidates(self, points_N2: npt.NDArray[np.float64]) -> Candidates:
        """The masks for points at x, y in pixels of the crop."""
        threads = torch.get_num_threads()
        size = max(1, min(BATCH, self._options.points_per_batch, -(-len(points_N2) // threads)))
        starts = range(0, len(points_N2), size)
        found: list[list[Mask]] = [[] for _ in starts]
        turns = iter(enumerate(starts))  # shared: the thread that is free takes the next batch

        def take_turns() -> None:
            # torch on one thread in each: its own pool in each would fight over the cores
            torch.set_num_threads(1)
            features = torch.empty(size, self._tiles.count, FEATURES, TILE)
            space = self._masks.workspace()
            with torch.inference_mode():
                for turn, start in turns:
                    batch_N2 = points_N2[start : start + size]
                    found[turn] = self._masks_of_batch(batch_N2, start, features, space)

        try:
            with ThreadPoolExecutor(threads) as pool:
                for done in [pool.submit(take_turns) for _ in range(min(threads, len(starts)))]:
                    done.result()
        finally:
            torch.set_num_threads(threads)
        return _candidates([mask for masks in found for mask in masks])

    def _masks_of_batch(
        self, points_B2: npt.NDArray[np.float64], first_index: int, features: torch.Tensor, space: Workspace
    ) -> list[Mask]:
        coords_B12 = torch.from_numpy(self._frame.input_points(points_B2)).float()[:, None]
        labels_B1 = torch.ones(len(coords_B12), 1, dtype=torch.int)
        sparse_BTC, _ = self._sam.prompt_encoder((coords_B12, labels_B1), None, None)
        decoded = decoded_tokens(self._sam.mask_decoder, self._tiles, self._weights, sparse_BTC, features)
        return self._masks.masks(decoded, first_index, space)


def _candidates(masks: list[Mask]) -> Candidates:
    return Candidates(
        predicted_iou_N=np.array([mask.predicted_iou for mask in masks], dtype=np.float32),
        stability_score_N=np.array([mask.stability_score for mask in masks], dtype=np.float32),
        area_N=np.array([mask.area for mask in masks], dtype=np.int64),
        box_xyxy_N4=np.array([mask.box_xyxy for mask in masks], dtype=np.int64).reshape(-1, 4),
        point_index_N=np.array([mask.point_index for mask in masks], dtype=np.int64),
        runs=lambda index: masks[index].runs,
    )


def is_served(sam: Sam, features_1Chw: torch.Tensor) -> bool:
    """Whether the kernel can decode this: built for this CPU, float32, and a decoder of SAM's own sizes."""
    decoder, transformer = sam.mask_decoder, cast(Any, sam.mask_decoder.transformer)
    attention = transformer.final_attn_token_to_image
    sizes = (decoder.transformer_dim, len(transformer.layers), attention.num_heads)
    return (
        library.loaded() is not None
        and {features_1Chw.device.type, sam.device.type} == {"cpu"}
        and {features_1Chw.dtype, decoder.iou_token.weight.dtype} == {torch.float32}
        and sizes == (256, 2, 8)
        and (attention.q_proj.out_features, decoder.num_mask_tokens) == (128, 4)
        and features_1Chw[0, 0].numel() % TILE == 0
    )
