"""Masks drawn from decoded prompts, as low-resolution logits: on a CPU the wanted ones, on a GPU all.

Upscaling is the dearest step, so that a CPU does it for mask tokens whose predicted IoU passes, a prompt at a
time. To choose on a GPU would mean to wait for the answer: there all tokens are drawn, in one shape, and
chosen later.
"""

from dataclasses import dataclass

import torch

from sam_core.image_side import ImageSide
from sam_core.mask_decoder import MaskDecoder
from sam_core.prompt_side import DecodedPrompts
from sam_core.upscaling import low_res_logits, mask_weights

# rows of positions upscaled at a time on a CPU: their 64 + 128 channels at twice the resolution take 3 MB
CPU_BLOCK_ROWS = 16


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
) -> DrawnMasks:
    """Masks of the batch, by prompt and token; on a CPU only those over the threshold, unless it is 0.

    grid: the embedding's rows and columns; shown: rows and columns of logits that show the image.
    """
    L, M = shown
    positions = (-(-L // 4), -(-M // 4))  # a position of the embedding becomes four by four logits
    weights_BMc = mask_weights(decoder, decoded.mask_tokens_BMC)
    iou_BM = decoded.predicted_iou_BM
    if iou_BM.device.type == "cpu":
        is_wanted_BM = iou_BM > pred_iou_thresh if pred_iou_thresh > 0 else torch.ones_like(iou_BM).bool()
        parts = [
            low_res_logits(decoder, side, tokens, weights[wanted][None], grid, positions, CPU_BLOCK_ROWS)[0]
            for tokens, weights, wanted in zip(decoded.image_tokens, weights_BMc, is_wanted_BM, strict=True)
            if wanted.any()
        ]
        prompt_N, _ = is_wanted_BM.nonzero(as_tuple=True)
        logits = torch.cat(parts) if parts else weights_BMc.new_empty(0, 4 * positions[0], 4 * positions[1])
        return DrawnMasks(prompt_N, iou_BM[is_wanted_BM], logits[:, :L, :M])
    parts = [low_res_logits(decoder, side, decoded.image_tokens[0], weights_BMc, grid, positions, grid[0])]
    prompt_N = torch.arange(len(iou_BM), device=iou_BM.device).repeat_interleave(iou_BM.shape[1])
    return DrawnMasks(prompt_N, iou_BM.flatten(), parts[0].flatten(0, 1)[:, :L, :M])
