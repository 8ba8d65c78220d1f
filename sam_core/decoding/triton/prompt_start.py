"""What decoding computes from the prompts alone, before any image: once for the grid of a frame's size."""

from dataclasses import dataclass

import torch

from sam_core.decoding.token_pass import started_tokens
from sam_core.decoding.triton.head_rows import HEAD_DIM, HEADS, SCORE_SCALE
from sam_core.model.sam import Sam


@dataclass(frozen=True)
class PromptStart:
    """B prompts of T = 7 tokens, float32; N = (prompt, token)."""

    encoding_BTC: torch.Tensor
    tokens_BTC: torch.Tensor  # after the self-attention of block 0
    query_hND: torch.Tensor  # for the first look at the image, [8, 7 B, 16], times SCORE_SCALE


@torch.inference_mode()
def prompt_start(sam: Sam, coords_B2: torch.Tensor) -> PromptStart:
    """The start of prompts of one foreground point each, at x, y in pixels of the model's input."""
    labels_B1 = torch.ones(len(coords_B2), 1, dtype=torch.int, device=coords_B2.device)
    sparse_BTC, _ = sam.prompt_encoder((coords_B2[:, None], labels_B1), None, None)
    start = started_tokens(sam.mask_decoder, sparse_BTC)
    block0, _ = sam.mask_decoder.transformer.blocks()
    query_BTD = block0.cross_attn_token_to_image.q_proj(start.tokens_BTC + start.encoding_BTC) * SCORE_SCALE
    query_hND = query_BTD.view(-1, HEADS, HEAD_DIM).transpose(0, 1)
    return PromptStart(start.encoding_BTC, start.tokens_BTC, query_hND.contiguous())
