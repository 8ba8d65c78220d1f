"""The prompts' half of the mask decoder in torch, with image tokens in factors for a few prompts at a time.

The tokens of many prompts are computed together, so that weights are read once for all of them. The image
tokens, a thousand times as many, are computed for `image_chunk` prompts at a time, so that they stay in a
CPU's cache.

Legend: B prompts, T tokens of a prompt, C channels, h heads, d channels of a head, R = h T.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from sam_core.decoding.image_side import ImageSide, Projection
from sam_core.decoding.image_tokens import (
    ImageTokens,
    TokenValues,
    attended,
    projected_scores,
    projected_sum,
    tokens_after_first,
    tokens_after_second,
)
from sam_core.decoding.token_pass import decoded_tokens
from sam_core.model.mask_decoder import MaskDecoder
from sam_core.model.transformer import DecoderAttention, TwoWayTransformer


@dataclass(frozen=True)
class DecodedPrompts:
    """The decoder's answer to B prompts before any mask is drawn."""

    predicted_iou_BM: torch.Tensor  # of the multimask tokens, float32
    mask_tokens_BMC: torch.Tensor
    image_tokens: Sequence[ImageTokens]  # of the prompts in order, `image_chunk` each


def decoded_prompts(
    decoder: MaskDecoder, side: ImageSide, sparse_BTC: torch.Tensor, image_chunk: int
) -> DecodedPrompts:
    """The answers to prompts whose sparse embeddings are given."""
    starts = range(0, len(sparse_BTC), image_chunk)
    image = FactoredImage(decoder.transformer, side, [slice(start, start + image_chunk) for start in starts])
    answer = decoded_tokens(decoder, image, sparse_BTC)
    return DecodedPrompts(answer.predicted_iou_BM, answer.mask_tokens_BMC, image.tokens)


class FactoredImage:
    """An ImageAttention that stores image tokens as factors, one chunk of prompts at a time."""

    def __init__(self, transformer: TwoWayTransformer, side: ImageSide, chunks: Sequence[slice]) -> None:
        self._block0, self._block1 = transformer.blocks()
        self._final = transformer.final_attn_token_to_image
        self._side, self._chunks = side, chunks
        self.tokens: list[ImageTokens] = []  # of each chunk, as they are after the last block so far

    def in_block0(self, queries_BTC: torch.Tensor) -> torch.Tensor:
        side, query = self._side, queries(self._block0.cross_attn_token_to_image, queries_BTC)
        return torch.cat([attended(query[chunk], side.key0_hdP, side.value0_hdP) for chunk in self._chunks])

    def in_block1(
        self, keys_BTC: torch.Tensor, values_BTC: torch.Tensor, queries_BTC: torch.Tensor
    ) -> torch.Tensor:
        side, eps = self._side, self._block0.norm4.eps
        added = self._added0 = token_values(self._block0.cross_attn_image_to_token, keys_BTC, values_BTC)
        self.tokens = [tokens_after_first(side, added[chunk], eps) for chunk in self._chunks]
        return self._attended(
            queries(self._block1.cross_attn_token_to_image, queries_BTC), side.key1, side.value1
        )

    def after_blocks(
        self, keys_BTC: torch.Tensor, values_BTC: torch.Tensor, queries_BTC: torch.Tensor
    ) -> torch.Tensor:
        side, eps = self._side, self._block1.norm4.eps
        added0 = self._added0
        added1 = token_values(self._block1.cross_attn_image_to_token, keys_BTC, values_BTC)
        self.tokens = [
            tokens_after_second(side, tokens, added0[chunk], added1[chunk], eps)
            for tokens, chunk in zip(self.tokens, self._chunks, strict=True)
        ]
        return self._attended(queries(self._final, queries_BTC), side.key2, side.value2)

    def _attended(self, query_BhTd: torch.Tensor, key: Projection, value: Projection) -> torch.Tensor:
        parts = [
            projected_sum(tokens, projected_scores(tokens, query_BhTd[chunk], key).softmax(-1), value)
            for tokens, chunk in zip(self.tokens, self._chunks, strict=True)
        ]
        return torch.cat(parts)


def queries(attention: DecoderAttention, tokens_BTC: torch.Tensor) -> torch.Tensor:
    """Queries of the tokens, scaled; [B, h, T, d]."""
    query_BhTd = _split(attention.q_proj(tokens_BTC), attention.num_heads)
    return query_BhTd * float(query_BhTd.shape[-1] ** -0.5)


def token_values(
    attention: DecoderAttention, keys_BTC: torch.Tensor, values_BTC: torch.Tensor
) -> TokenValues:
    """What the tokens add to the image tokens that attend to them."""
    heads = attention.num_heads
    key_BhTd = _split(attention.k_proj(keys_BTC), heads)
    value_BhTd = _split(attention.v_proj(values_BTC), heads)
    out_DC = attention.out_proj.weight.T
    out_hdC = out_DC.reshape(heads, -1, out_DC.shape[1])
    return TokenValues(
        key_BhTd * key_BhTd.shape[-1] ** -0.5, value_BhTd, (value_BhTd @ out_hdC).flatten(1, 2)
    )


def _split(values_BTD: torch.Tensor, heads: int) -> torch.Tensor:
    B, T, D = values_BTD.shape
    return values_BTD.view(B, T, heads, D // heads).transpose(1, 2)
