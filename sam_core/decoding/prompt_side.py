"""The prompts' half of the mask decoder: a few tokens a prompt, through two layers and a final attention.

The tokens of many prompts go together, where weights are read once for all of them. The image tokens, a
thousand times as many, are taken `image_chunk` prompts at a time, so that on a CPU they stay in its cache.

Legend: B prompts, T tokens of a prompt, C channels, h heads, d channels of a head, R = h T.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch

from sam_core.decoding.image_side import ImageSide
from sam_core.decoding.image_tokens import (
    ImageTokens,
    TokenValues,
    attended,
    projected_scores,
    projected_sum,
    tokens_after_first,
    tokens_after_second,
)
from sam_core.model.mask_decoder import MaskDecoder


@dataclass(frozen=True)
class DecodedPrompts:
    """The decoder's answer to B prompts before any mask is drawn."""

    predicted_iou_BM: torch.Tensor  # of the multimask tokens, float32
    mask_tokens_BMC: torch.Tensor
    image_tokens: Sequence[ImageTokens]  # of the prompts in order, `image_chunk` each


def decoded_prompts(
    decoder: MaskDecoder, side: ImageSide, sparse_BTC: torch.Tensor, image_chunk: int
) -> DecodedPrompts:
    """The answers to prompts whose sparse embeddings are given.

    Source: TwoWayTransformer and MaskDecoder of segment-anything, commit dca509f.
    """
    transformer = cast(Any, decoder.transformer)
    layer0, layer1 = transformer.layers
    B = len(sparse_BTC)
    chunks = [slice(start, start + image_chunk) for start in range(0, B, image_chunk)]
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    encoding = torch.cat([own.expand(B, -1, -1), sparse_BTC], dim=1)  # the tokens are their own encoding

    tokens = layer0.norm1(layer0.self_attn(encoding, encoding, encoding))
    query = queries(layer0.cross_attn_token_to_image, tokens + encoding)
    seen = torch.cat([attended(query[chunk], side.key0_hdP, side.value0_hdP) for chunk in chunks])
    tokens = after_look(layer0, tokens, seen)
    added0 = token_values(layer0.cross_attn_image_to_token, tokens, encoding)
    image0 = [tokens_after_first(side, added0[chunk], layer0.norm4.eps) for chunk in chunks]

    tokens = layer1.norm1(tokens + layer1.self_attn(tokens + encoding, tokens + encoding, tokens))
    query = queries(layer1.cross_attn_token_to_image, tokens + encoding)
    seen = torch.cat(
        [
            _seen(image, query[chunk], side.key1, side.value1)
            for image, chunk in zip(image0, chunks, strict=True)
        ]
    )
    tokens = after_look(layer1, tokens, seen)
    added1 = token_values(layer1.cross_attn_image_to_token, tokens, encoding)
    image1 = [
        tokens_after_second(side, image, added0[chunk], added1[chunk], layer1.norm4.eps)
        for image, chunk in zip(image0, chunks, strict=True)
    ]

    final = transformer.final_attn_token_to_image
    query = queries(final, tokens + encoding)
    seen = torch.cat(
        [
            _seen(image, query[chunk], side.key2, side.value2)
            for image, chunk in zip(image1, chunks, strict=True)
        ]
    )
    tokens = transformer.norm_final_attn(tokens + final.out_proj(merged(seen)))
    # the first mask token is the one for a single mask: automatic generation asks for several
    return DecodedPrompts(
        decoder.iou_prediction_head(tokens[:, 0])[:, 1:], tokens[:, 2 : 1 + decoder.num_mask_tokens], image1
    )


def _seen(image: ImageTokens, query_BhTd: torch.Tensor, key: Any, value: Any) -> torch.Tensor:
    return projected_sum(image, projected_scores(image, query_BhTd, key).softmax(-1), value)


def after_look(layer: Any, tokens_BTC: torch.Tensor, seen_BhTd: torch.Tensor) -> torch.Tensor:
    """The tokens of a layer after they have looked at the image, and its MLP."""
    tokens_BTC = layer.norm2(tokens_BTC + layer.cross_attn_token_to_image.out_proj(merged(seen_BhTd)))
    return cast(torch.Tensor, layer.norm3(tokens_BTC + layer.mlp(tokens_BTC)))


def token_values(attention: Any, tokens_BTC: torch.Tensor, encoding_BTC: torch.Tensor) -> TokenValues:
    heads = attention.num_heads
    key_BhTd = _split(attention.k_proj(tokens_BTC + encoding_BTC), heads)
    value_BhTd = _split(attention.v_proj(tokens_BTC), heads)
    out_hdC = attention.out_proj.weight.T.unflatten(0, (heads, -1))
    return TokenValues(
        key_BhTd * key_BhTd.shape[-1] ** -0.5, value_BhTd, (value_BhTd @ out_hdC).flatten(1, 2)
    )


def queries(attention: Any, tokens_BTC: torch.Tensor) -> torch.Tensor:
    query_BhTd = _split(attention.q_proj(tokens_BTC), attention.num_heads)
    return query_BhTd * float(query_BhTd.shape[-1] ** -0.5)


def _split(values_BTD: torch.Tensor, heads: int) -> torch.Tensor:
    B, T, D = values_BTD.shape
    return values_BTD.view(B, T, heads, D // heads).transpose(1, 2)


def merged(values_BhTd: torch.Tensor) -> torch.Tensor:
    return values_BhTd.transpose(1, 2).flatten(2)
