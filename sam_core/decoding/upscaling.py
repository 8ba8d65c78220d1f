"""Low-resolution mask logits from decoded prompts: the last and most expensive step of the decoder.

The two 2x2 transposed convolutions of stride 2 are matrix products, one per position. Positions therefore are
processed in blocks that stay in cache, and rows and columns over the padding are left out.

Legend: B prompts, M masks of a prompt, C channels, c channels after the first step, P positions, g = 4 pixels
of a position after the first step.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from sam_core.decoding.image_side import ImageSide
from sam_core.decoding.image_tokens import ImageTokens
from sam_core.decoding.precision import product_dtype, refuse_not_finite
from sam_core.decoding.prompt_side import DecodedPrompts
from sam_core.masks.thresholds import passes_predicted_iou
from sam_core.model.mask_decoder import MaskDecoder
from sam_core.options import MaskOptions

# Rows of positions upscaled at a time: their 64 + 128 channels at twice the resolution take 3 MB
BLOCK_ROWS = 16


def mask_weights(decoder: MaskDecoder, mask_tokens_BMC: torch.Tensor) -> torch.Tensor:
    """How each multimask token weighs the channels of the upscaled image; [B, M, channels]."""
    multimask_heads = decoder.hypernetworks()[1:]
    return torch.stack(
        [head(token_BC) for head, token_BC in zip(multimask_heads, mask_tokens_BMC.unbind(1), strict=True)],
        dim=1,
    )


def shown_positions(shown: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of positions that make these rows and columns of logits: each becomes four by four."""
    return -(-shown[0] // 4), -(-shown[1] // 4)


def low_res_logits(
    decoder: MaskDecoder,
    side: ImageSide,
    tokens: ImageTokens,
    weights_BMc: torch.Tensor,
    grid: tuple[int, int],
    shown: tuple[int, int],
    block_rows: int,
    dtype: torch.dtype,
) -> torch.Tensor:
    """Logits of the wanted masks over the image, float32 [B, M, 4 rows, 4 columns].

    grid: the embedding's (rows, columns); shown: how many of them show the image; block_rows: how many rows
    of positions are upscaled at a time; dtype: of the products, while sums for the LayerNorm are float32.
    """
    rows, columns = shown
    values_BDR = (tokens.values_BRC @ side.upscaling.weight_CD).mT.to(dtype)
    scale_BHW = tokens.scale_BP.view(-1, *grid)
    factors_BRHW = tokens.factors_BRP.view(*tokens.factors_BRP.shape[:2], *grid)
    x_gcHW = side.upscaling.x_hdP.view(*side.upscaling.x_hdP.shape[:2], *grid)
    blocks = []
    for start in range(0, rows, block_rows):
        block = (slice(start, min(start + block_rows, rows)), slice(0, columns))
        factors_BRP = factors_BRHW[:, :, *block].flatten(2).to(dtype)
        scale_BP = scale_BHW[:, *block].flatten(1).to(dtype)
        x_BgcP = x_gcHW[:, :, *block].flatten(2).to(dtype) * scale_BP[:, None, None]
        first_BgcP = torch.baddbmm(x_BgcP.flatten(1, 2), values_BDR, factors_BRP).view_as(x_BgcP)
        first_BgcP += side.upscaling.constant_hdP.to(dtype)
        blocks.append(_block_logits(decoder, first_BgcP, weights_BMc, columns))
    return torch.cat(blocks, dim=2).float()


def _block_logits(
    decoder: MaskDecoder, first_BgcP: torch.Tensor, weights_BMc: torch.Tensor, columns: int
) -> torch.Tensor:
    """Logits of a block of positions, from its centred channels after the first convolution."""
    _, norm, second = decoder.upscaling_layers()
    assert second.bias is not None  # noqa: S101  MaskDecoder makes it with one
    dtype, channels = first_BgcP.dtype, first_BgcP.shape[2]
    inverse_std_BgP = (first_BgcP.float().square().sum(2) / channels + norm.eps).rsqrt()
    first_BgcP.mul_(inverse_std_BgP[:, :, None]).mul_(norm.weight[:, None]).add_(norm.bias[:, None])
    hidden_BgcP = F.gelu(first_BgcP)
    # [c, c', 2, 2] to one row an output: pixel (k, l) of the two by two, then channel
    weight_Dc = second.weight.permute(2, 3, 1, 0).flatten(0, 2).to(dtype)
    upscaled = F.gelu((weight_Dc @ hidden_BgcP).add_(second.bias.repeat(4)[:, None]))  # B, g, 4 channels, P
    B, M, _ = weights_BMc.shape
    P = first_BgcP.shape[3]
    upscaled_BghcP = upscaled.view(B, 4, 4, -1, P)
    logits = weights_BMc[:, None, None].to(dtype) @ upscaled_BghcP  # B, g, h, M, P
    # g is (i, j), h is (k, l); the pixel is at 4 row + 2 i + k, 4 column + 2 j + l
    logits = logits.view(B, 2, 2, 2, 2, M, P // columns, columns).permute(0, 5, 6, 1, 3, 7, 2, 4)
    return logits.reshape(B, M, 4 * (P // columns), 4 * columns)


@dataclass(frozen=True)
class PromptMasks:
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
    options: MaskOptions,
) -> PromptMasks:
    """Masks of the batch whose predicted IoU passes, by prompt and token.

    decoded: one prompt per chunk; grid: the embedding's rows and columns; shown: rows and columns of logits
    that show the image.
    """
    rows, columns = shown
    weights_BMc = mask_weights(decoder, decoded.mask_tokens_BMC)
    iou_BM = decoded.predicted_iou_BM
    refuse_not_finite(torch.isfinite(iou_BM).all(), options)
    passes_BM = torch.from_numpy(passes_predicted_iou(iou_BM.numpy(), options))
    dtype = product_dtype(options)
    positions = shown_positions(shown)
    parts = [
        low_res_logits(decoder, side, tokens, weights[passes][None], grid, positions, BLOCK_ROWS, dtype)[0]
        for tokens, weights, passes in zip(decoded.image_tokens, weights_BMc, passes_BM, strict=True)
        if passes.any()
    ]
    prompt_N, _ = passes_BM.nonzero(as_tuple=True)
    logits = torch.cat(parts) if parts else weights_BMc.new_empty(0, rows, columns)
    return PromptMasks(prompt_N, iou_BM[passes_BM], logits[:, :rows, :columns])
