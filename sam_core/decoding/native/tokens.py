"""The tokens of a batch of prompts between the kernel's passes.

The flow is prompt_side.py's; in place of torch products over image positions stand calls of the kernel. The
attention weights A of a position over a head's seven tokens sum to 1: the kernel keeps six of them, relative
to the seventh, whose value every position gets. So it is given differences from the seventh token.

Legend: B prompts, h heads, d channels of a head, T = 7 tokens, D = h d, C channels, N outputs of a
projection.
"""

import math
from dataclasses import dataclass
from typing import Any, cast

import torch

from sam_core.decoding.image_side import centred
from sam_core.decoding.native.image_tiles import TILE, ImageTiles
from sam_core.decoding.native.library import (
    FEATURES,
    SCRATCH,
    UPSCALING,
    FirstLook,
    Layer,
    address,
    run_prompts,
)
from sam_core.decoding.prompt_side import after_look, merged
from sam_core.model.mask_decoder import MaskDecoder

LOG2_E = math.log2(math.e)  # the kernel's softmax runs on powers of two
EIGHT = 8  # of vector.h: seven tokens and one that is not used


@dataclass(frozen=True)
class TokenWeights:
    """Where the values of a layer's tokens go, [N / 64, D, 64]: see tokens.c."""

    layer0: torch.Tensor  # key1, value1, layer 0's output projection
    query1: torch.Tensor
    layer1_before: torch.Tensor  # for layer 0's tokens: key2, value2, upscaling, both output projections
    layer1: torch.Tensor  # for layer 1's tokens: the same
    shift_N: torch.Tensor  # for what layer 1 adds everywhere: the same
    shift_square: float


@dataclass(frozen=True)
class TokenBuffers:
    """Room for a batch of prompts, used again by the next."""

    features: torch.Tensor  # [B, tiles, FEATURES, 64]: A0, A1 and the LayerNorms' scales
    upscaling: torch.Tensor  # [B, *UPSCALING]
    scratch: torch.Tensor

    @classmethod
    def of(cls, prompts: int, tiles: ImageTiles) -> "TokenBuffers":
        """Room for that many prompts."""
        features = torch.empty(prompts, tiles.count, FEATURES, TILE)
        return cls(features, torch.empty(prompts, *UPSCALING), torch.empty(SCRATCH))


def token_weights(decoder: MaskDecoder, tiles: ImageTiles) -> TokenWeights:
    """The weights for one crop. They hold nothing of the image: made with it, they are never out of date."""
    layer0, layer1 = cast(Any, decoder.transformer).layers
    side = tiles.side
    out0_DC = centred(layer0.cross_attn_image_to_token.out_proj.weight.T)
    out1_DC = centred(layer1.cross_attn_image_to_token.out_proj.weight.T)
    after0_CN = torch.cat([side.key1.weight_CD, side.value1.weight_CD, out0_DC.T], dim=1)
    # layer 0's values after the first LayerNorm's gain, centred again
    before_DC = centred(out0_DC * side.gain0_C)
    after1_CN = torch.cat(
        [side.key2.weight_CD, side.value2.weight_CD, side.upscaling.weight_CD, before_DC.T, out1_DC.T], dim=1
    )
    return TokenWeights(
        _tiled(out0_DC @ after0_CN),
        _tiled(out0_DC @ side.query1.weight_CD),
        _tiled(before_DC @ after1_CN),
        _tiled(out1_DC @ after1_CN),
        side.shift1_C @ after1_CN,
        float(side.shift1_C.square().sum()),
    )


def decoded_tokens(
    decoder: MaskDecoder,
    tiles: ImageTiles,
    weights: TokenWeights,
    sparse_BTC: torch.Tensor,
    buffers: TokenBuffers,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Predicted IoU [B, 3] and mask tokens [B, 3, C] of prompts of one point each: of the multimask tokens.

    What the masks are drawn from is left in the buffers. sparse_BTC: their embeddings, two tokens each.
    Source: TwoWayTransformer and MaskDecoder of segment-anything, commit dca509f.
    """
    transformer = cast(Any, decoder.transformer)
    layer0, layer1 = transformer.layers
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    encoding = torch.cat([own.expand(len(sparse_BTC), -1, -1), sparse_BTC], dim=1)

    tokens = layer0.norm1(layer0.self_attn(encoding, encoding, encoding))
    seen = _first_look(tiles, _queries(layer0.cross_attn_token_to_image, tokens + encoding), buffers.scratch)
    tokens = after_look(layer0, tokens, seen)
    keys0, values0 = _keys_and_values(layer0.cross_attn_image_to_token, tokens, encoding)

    tokens = layer1.norm1(tokens + layer1.self_attn(tokens + encoding, tokens + encoding, tokens))
    shared = {"tiles": tiles.count, "features": buffers.features, "scratch": buffers.scratch}
    seen = _seen_in_layer(
        "sam_first_layer",
        **shared,
        epsilon=layer0.norm4.eps,
        image=tiles.layer0,
        values=tiles.layer0_values,
        queries=_queries(layer1.cross_attn_token_to_image, tokens + encoding),
        token_keys=keys0,
        token_values=values0,
        weights=weights.layer0,
    )
    tokens = after_look(layer1, tokens, seen + tiles.side.value1.constant_hdP.mT)
    keys1, values1 = _keys_and_values(layer1.cross_attn_image_to_token, tokens, encoding)

    final = transformer.final_attn_token_to_image
    seen = _seen_in_layer(
        "sam_second_layer",
        **shared,
        epsilon=layer1.norm4.eps,
        image=tiles.layer1,
        values=tiles.layer1_values,
        queries=_queries(final, tokens + encoding),
        token_keys=keys1,
        token_values=values1,
        token_values_before=values0,
        weights_before=weights.layer1_before,
        query_weights=weights.query1,
        shift=weights.shift_N,
        shift_square=weights.shift_square,
        weights=weights.layer1,
        upscaling=buffers.upscaling,
    )
    seen = seen + tiles.side.value2.constant_hdP.mT
    tokens = transformer.norm_final_attn(tokens + final.out_proj(merged(seen)))
    return decoder.iou_prediction_head(tokens[:, 0])[:, 1:], tokens[:, 2:5]


def _first_look(tiles: ImageTiles, queries: torch.Tensor, scratch: torch.Tensor) -> torch.Tensor:
    out = _room_for_seen(queries)
    arrays = (tiles.first_keys, tiles.first_values, queries, scratch, out)
    run_prompts("sam_first_look", FirstLook(tiles.count, *map(address, arrays)), len(out))
    return out


def _seen_in_layer(function: str, **arguments: Any) -> torch.Tensor:
    """What the tokens see of the image after a layer, but for the value's constant; [B, h, T, d]."""
    out = _room_for_seen(arguments["queries"])
    fields = {
        name: address(value) if isinstance(value, torch.Tensor) else value
        for name, value in (arguments | {"out": out}).items()
    }
    run_prompts(function, Layer(**fields), len(out))
    return out


def _room_for_seen(queries_Bhd8: torch.Tensor) -> torch.Tensor:
    B, heads, d, _ = queries_Bhd8.shape
    return queries_Bhd8.new_empty(B, heads, EIGHT - 1, d)


def _queries(attention: Any, tokens_BTC: torch.Tensor) -> torch.Tensor:
    """Of attending tokens, as the kernel reads them: [B, h, d, 8], scaled for powers of two."""
    queries_Bhd8 = _by_head(attention.q_proj(tokens_BTC), attention.num_heads)
    return queries_Bhd8.mul_(LOG2_E * queries_Bhd8.shape[2] ** -0.5)


def _keys_and_values(
    attention: Any, tokens_BTC: torch.Tensor, encoding_BTC: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of attended tokens, as the kernel reads them: [B, h, d, 8], six differences and the seventh token."""
    keys_Bhd8 = _by_head(attention.k_proj(tokens_BTC + encoding_BTC), attention.num_heads)
    values_Bhd8 = _by_head(attention.v_proj(tokens_BTC), attention.num_heads)
    for columns_Bhd8 in (keys_Bhd8, values_Bhd8):
        columns_Bhd8[..., :6] -= columns_Bhd8[..., 6:7]
    return keys_Bhd8.mul_(LOG2_E * keys_Bhd8.shape[2] ** -0.5), values_Bhd8


def _by_head(rows_BTD: torch.Tensor, heads: int) -> torch.Tensor:
    B, T, D = rows_BTD.shape
    columns_BhdT = rows_BTD.new_zeros(B, heads, D // heads, EIGHT)
    columns_BhdT[..., :T] = rows_BTD.view(B, T, heads, -1).permute(0, 2, 3, 1)
    return columns_BhdT


def _tiled(weight_DN: torch.Tensor) -> torch.Tensor:
    return weight_DN.view(len(weight_DN), -1, TILE).transpose(0, 1).contiguous()
