"""The masks of decoded prompts that are wanted, drawn as low-resolution logits on a CPU.

Upscaling is the dearest step, so that it is done for mask tokens whose predicted IoU passes, a prompt at a
time.
"""

from dataclasses import dataclass

import torch

from sam_core.decoding.image_side import ImageSide
from sam_core.decoding.prompt_side import DecodedPrompts
from sam_core.decoding.upscaling import low_res_logits, mask_weights, shown_positions
from sam_core.model.mask_decoder import MaskDecoder

# rows of positions upscaled at a time: their 64 + 128 channels at twice the resolution take 3 MB
BLOCK_ROWS = 16


@dataclass(frozen=True)
class DrawnMasks:
    """N masks of a batch of prompts."""

    prompt_N: torch.Tensor  # place of the prompt in the batch
    predicted_iou_N: torch.Tensor
    logits_NLM: torch.Tensor  # over the part of the logits' square that shows the image


def drawn_masks(
    decoder: MaskDecoder,
    side: ImageSide,
    decoded: DecodedPrompts,
    grid: tuple[int, int],
    shown: tuple[int, int],
    pred_iou_thresh: float,
    dtype: torch.dtype,
) -> DrawnMasks:
    """Masks of the batch over the threshold, unless it is 0, by prompt and token.

    decoded: a prompt a chunk; grid: the embedding's rows and columns; shown: rows and columns of logits that
    show the image; dtype: of the upscaling's products.
    """
    rows, columns = shown
    weights_BMc = mask_weights(decoder, decoded.mask_tokens_BMC)
    iou_BM = decoded.predicted_iou_BM
    is_wanted_BM = iou_BM > pred_iou_thresh if pred_iou_thresh > 0 else torch.ones_like(iou_BM).bool()
    positions = shown_positions(shown)
    parts = [
        low_res_logits(decoder, side, tokens, weights[wanted][None], grid, positions, BLOCK_ROWS, dtype)[0]
        for tokens, weights, wanted in zip(decoded.image_tokens, weights_BMc, is_wanted_BM, strict=True)
        if wanted.any()
    ]
    prompt_N, _ = is_wanted_BM.nonzero(as_tuple=True)
    logits = torch.cat(parts) if parts else weights_BMc.new_empty(0, rows, columns)
    return DrawnMasks(prompt_N, iou_BM[is_wanted_BM], logits[:, :rows, :columns])
