"""The tokens' half of the mask decoder, for every way to store the image tokens.

A prompt has a few tokens, an image thousands. What the tokens do is written here once. An `ImageAttention`
does how they attend to the image, and the image to them: in factors for torch (prompt_side.py), in the C
kernel (native/tokens.py). The model's own modules, which write out all image tokens, are the reference.

Legend: B prompts, T tokens of a prompt, C channels, h heads, d channels of a head.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

from sam_core.model.mask_decoder import MaskDecoder
from sam_core.model.transformer import TwoWayAttentionBlock

MLP = Callable[[torch.Tensor], torch.Tensor]


class ImageAttention(Protocol):
    """The three attentions of one batch's tokens to its image; each gives [B, h, T, d].

    Queries and keys are tokens with their encoding added, [B, T, C], values are the tokens. The object stores
    what they add to the image: call its methods once each, in this order, for one batch.
    """

    def in_block0(self, queries_BTC: torch.Tensor) -> torch.Tensor:
        """Attention to the image as the encoder gave it."""
        ...

    def in_block1(
        self, keys_BTC: torch.Tensor, values_BTC: torch.Tensor, queries_BTC: torch.Tensor
    ) -> torch.Tensor:
        """Attention to the image after block 0, where it has attended to the tokens of keys and values."""
        ...

    def after_blocks(
        self, keys_BTC: torch.Tensor, values_BTC: torch.Tensor, queries_BTC: torch.Tensor
    ) -> torch.Tensor:
        """The final attention, to the image after block 1, where it has attended likewise."""
        ...


@dataclass(frozen=True)
class DecodedTokens:
    """The decoder's answer to B prompts before any mask is drawn, of the M multimask tokens."""

    predicted_iou_BM: torch.Tensor  # float32
    mask_tokens_BMC: torch.Tensor


@dataclass(frozen=True)
class StartedTokens:
    """The tokens before they attend to an image, the same for every image; float32 [B, T, C]."""

    encoding_BTC: torch.Tensor  # the tokens as they came: they are their own encoding
    tokens_BTC: torch.Tensor  # after the self-attention of block 0


def decoded_tokens(decoder: MaskDecoder, image: ImageAttention, sparse_BTC: torch.Tensor) -> DecodedTokens:
    """The answer to prompts whose sparse embeddings are given."""
    return tokens_decoded_from(decoder, image, started_tokens(decoder, sparse_BTC))


def started_tokens(decoder: MaskDecoder, sparse_BTC: torch.Tensor) -> StartedTokens:
    """The start of prompts whose sparse embeddings are given."""
    block0, _ = decoder.transformer.blocks()
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    encoding = torch.cat([own.expand(len(sparse_BTC), -1, -1), sparse_BTC], dim=1)
    return StartedTokens(encoding, block0.norm1(block0.self_attn(encoding, encoding, encoding)))


def tokens_decoded_from(
    decoder: MaskDecoder, image: ImageAttention, start: StartedTokens, mlps: tuple[MLP, MLP] | None = None
) -> DecodedTokens:
    """The answer to prompts from their start on.

    mlps: replacements for the two blocks' own MLPs.
    Source: TwoWayTransformer and MaskDecoder of segment-anything, commit dca509f.
    """
    transformer = decoder.transformer
    block0, block1 = transformer.blocks()
    mlp0, mlp1 = mlps or (block0.mlp, block1.mlp)
    encoding, tokens = start.encoding_BTC, start.tokens_BTC
    tokens0 = _after_attention(block0, mlp0, tokens, image.in_block0(tokens + encoding))

    query = tokens0 + encoding
    tokens = block1.norm1(tokens0 + block1.self_attn(query, query, tokens0))
    tokens1 = _after_attention(block1, mlp1, tokens, image.in_block1(query, tokens0, tokens + encoding))

    query = tokens1 + encoding
    final = transformer.final_attn_token_to_image
    attended = final.out_proj(merged(image.after_blocks(query, tokens1, query)))
    tokens = transformer.norm_final_attn(tokens1 + attended)
    predicted_iou: torch.Tensor = decoder.iou_prediction_head(tokens[:, 0])
    # the first mask token is the one for a single mask: automatic generation asks for several
    return DecodedTokens(predicted_iou[:, 1:], tokens[:, 2 : 1 + decoder.num_mask_tokens])


def _after_attention(
    block: TwoWayAttentionBlock, mlp: MLP, tokens_BTC: torch.Tensor, attended_BhTd: torch.Tensor
) -> torch.Tensor:
    """A block's tokens after their attention to the image, and the MLP."""
    attended_BTC = block.cross_attn_token_to_image.out_proj(merged(attended_BhTd))
    tokens_BTC = block.norm2(tokens_BTC + attended_BTC)
    after: torch.Tensor = block.norm3(tokens_BTC + mlp(tokens_BTC))
    return after


def merged(values_BhTd: torch.Tensor) -> torch.Tensor:
    """The heads side by side, [B, T, h d]."""
    return values_BhTd.transpose(1, 2).flatten(2)
