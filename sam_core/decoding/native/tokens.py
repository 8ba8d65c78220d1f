"""A batch of prompts whose image tokens the C kernel computes, and the weights that it needs for them.

The attention weights A of a position over a head's seven tokens sum to 1. The kernel therefore keeps six of
them and gets the tokens as differences from the seventh, whose value every position gets.

Legend: B prompts, h heads, d channels of a head, T = 7 tokens, D = h d, C channels, N outputs of a
projection.
"""

import math
from dataclasses import dataclass

import torch

from sam_core.decoding.image_side import centred
from sam_core.decoding.native.image_tiles import ImageTiles
from sam_core.decoding.native.library import run_prompts
from sam_core.decoding.native.structs import (
    EIGHT,
    FEATURES,
    ROWS_TO_UPSCALE,
    SCRATCH,
    TILE,
    TOKENS,
    FirstAttention,
    FirstLayer,
    SecondLayer,
)
from sam_core.model.mask_decoder import MaskDecoder
from sam_core.model.transformer import DecoderAttention, TwoWayTransformer

LOG2_E = math.log2(math.e)  # the kernel's softmax runs on powers of two


@dataclass(frozen=True)
class TokenWeights:
    """Weights for the values of a layer's tokens, [N / 64, D, 64]: see tokens.c."""

    layer0: torch.Tensor  # key1, value1, layer 0's output projection
    query1: torch.Tensor
    layer1_before: torch.Tensor  # for layer 0's tokens: key2, value2, upscaling, both output projections
    layer1: torch.Tensor  # for layer 1's tokens: the same
    shift_N: torch.Tensor  # for what layer 1 adds everywhere: the same
    shift_square: float


@dataclass(frozen=True)
class TokenBuffers:
    """What the kernel writes for a batch of prompts, used again by the next batch."""

    features: torch.Tensor  # [B, tiles, FEATURES, 64]: A0, A1 and the LayerNorms' scales
    upscaling: torch.Tensor  # [B, *ROWS_TO_UPSCALE]
    scratch: torch.Tensor

    @classmethod
    def of(cls, prompts: int, tiles: ImageTiles) -> "TokenBuffers":
        """Buffers for at most that many prompts."""
        return cls(
            torch.empty(prompts, tiles.count, FEATURES, TILE, dtype=torch.float32),
            torch.empty(prompts, *ROWS_TO_UPSCALE, dtype=torch.float32),
            torch.empty(SCRATCH, dtype=torch.float32),
        )


def token_weights(decoder: MaskDecoder, tiles: ImageTiles) -> TokenWeights:
    """The weights for one crop. They do not depend on the image; made per crop, they are never stale."""
    block0, block1 = decoder.transformer.blocks()
    side = tiles.side
    out0_DC = centred(block0.cross_attn_image_to_token.out_proj.weight.T)
    out1_DC = centred(block1.cross_attn_image_to_token.out_proj.weight.T)
    after0_CN = torch.cat([side.key1.weight_CD, side.value1.weight_CD, out0_DC.T], dim=1)
    # layer 0's values after the first LayerNorm's gain, centred again
    before_DC = centred(out0_DC * side.gain0_C)
    after1_CN = torch.cat(
        [side.key2.weight_CD, side.value2.weight_CD, side.upscaling.weight_CD, before_DC.T, out1_DC.T], dim=1
    )
    return TokenWeights(
        _tiled_weights(out0_DC @ after0_CN),
        _tiled_weights(out0_DC @ side.query1.weight_CD),
        _tiled_weights(before_DC @ after1_CN),
        _tiled_weights(out1_DC @ after1_CN),
        side.shift1_C @ after1_CN,
        float(side.shift1_C.square().sum()),
    )


class KernelImage:
    """An ImageAttention in the kernel, which leaves the data to draw masks from in the buffers."""

    def __init__(
        self, transformer: TwoWayTransformer, tiles: ImageTiles, weights: TokenWeights, buffers: TokenBuffers
    ) -> None:
        self._block0, self._block1 = transformer.blocks()
        self._final = transformer.final_attn_token_to_image
        self._tiles, self._weights, self._buffers = tiles, weights, buffers

    def in_block0(self, queries_BTC: torch.Tensor) -> torch.Tensor:
        queries = _queries(self._block0.cross_attn_token_to_image, queries_BTC)
        out = _output(queries)
        arguments = FirstAttention.filled(
            {"prompts": len(queries)},
            tiles=self._tiles.count,
            keys=self._tiles.first_keys,
            values=self._tiles.first_values,
            queries=queries,
            scratch=self._buffers.scratch,
            out=out,
        )
        run_prompts("sam_first_attention", arguments, len(queries))
        return out

    def in_block1(
        self, keys_BTC: torch.Tensor, values_BTC: torch.Tensor, queries_BTC: torch.Tensor
    ) -> torch.Tensor:
        queries = _queries(self._block1.cross_attn_token_to_image, queries_BTC)
        out = _output(queries)
        self._keys_and_values0 = _keys_and_values(
            self._block0.cross_attn_image_to_token, keys_BTC, values_BTC
        )
        keys, values = self._keys_and_values0
        arguments = FirstLayer.filled(
            {"prompts": len(queries)},
            tiles=self._tiles.count,
            epsilon=self._block0.norm4.eps,
            image=self._tiles.layer0,
            values=self._tiles.layer0_values,
            queries=queries,
            token_keys=keys,
            token_values=values,
            weights=self._weights.layer0,
            scratch=self._buffers.scratch,
            features=self._buffers.features[: len(queries)],
            out=out,
        )
        run_prompts("sam_first_layer", arguments, len(queries))
        return out + self._tiles.side.value1.constant_hdP.mT

    def after_blocks(
        self, keys_BTC: torch.Tensor, values_BTC: torch.Tensor, queries_BTC: torch.Tensor
    ) -> torch.Tensor:
        queries = _queries(self._final, queries_BTC)
        out = _output(queries)
        keys, values = _keys_and_values(self._block1.cross_attn_image_to_token, keys_BTC, values_BTC)
        arguments = SecondLayer.filled(
            {"prompts": len(queries)},
            tiles=self._tiles.count,
            epsilon=self._block1.norm4.eps,
            image=self._tiles.layer1,
            values=self._tiles.layer1_values,
            queries=queries,
            token_keys=keys,
            token_values=values,
            token_values_before=self._keys_and_values0[1],
            weights_before=self._weights.layer1_before,
            query_weights=self._weights.query1,
            shift=self._weights.shift_N,
            shift_square=self._weights.shift_square,
            weights=self._weights.layer1,
            scratch=self._buffers.scratch,
            upscaling=self._buffers.upscaling[: len(queries)],
            features=self._buffers.features[: len(queries)],
            out=out,
        )
        run_prompts("sam_second_layer", arguments, len(queries))
        return out + self._tiles.side.value2.constant_hdP.mT


def _output(queries_Bhd8: torch.Tensor) -> torch.Tensor:
    """Memory for an attention's answer, [B, h, T, d]."""
    B, heads, d, _ = queries_Bhd8.shape
    return queries_Bhd8.new_empty(B, heads, TOKENS, d)


def _queries(attention: DecoderAttention, tokens_BTC: torch.Tensor) -> torch.Tensor:
    """Queries of attending tokens, as the kernel reads them: [B, h, d, 8], scaled for powers of two."""
    queries_Bhd8 = _by_head(attention.q_proj(tokens_BTC), attention.num_heads)
    return queries_Bhd8.mul_(LOG2_E * queries_Bhd8.shape[2] ** -0.5)


def _keys_and_values(
    attention: DecoderAttention, keys_BTC: torch.Tensor, values_BTC: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys and values of attended tokens for the kernel: [B, h, d, 8], six differences, the seventh token."""
    keys_Bhd8 = _by_head(attention.k_proj(keys_BTC), attention.num_heads)
    values_Bhd8 = _by_head(attention.v_proj(values_BTC), attention.num_heads)
    for columns_Bhd8 in (keys_Bhd8, values_Bhd8):
        columns_Bhd8[..., :6] -= columns_Bhd8[..., 6:7]
    return keys_Bhd8.mul_(LOG2_E * keys_Bhd8.shape[2] ** -0.5), values_Bhd8


def _by_head(rows_BTD: torch.Tensor, heads: int) -> torch.Tensor:
    B, T, D = rows_BTD.shape
    columns_BhdT = rows_BTD.new_zeros(B, heads, D // heads, EIGHT)
    columns_BhdT[..., :T] = rows_BTD.view(B, T, heads, -1).permute(0, 2, 3, 1)
    return columns_BhdT


def _tiled_weights(weight_DN: torch.Tensor) -> torch.Tensor:
    return weight_DN.view(len(weight_DN), -1, TILE).transpose(0, 1).contiguous()
