"""The tokens of a batch of prompts between the kernel's passes, and what the passes need of them.

The flow is prompt_side.py's; in place of torch products over image positions stand calls of the kernel. The
attention weights A of a position over a head's seven tokens sum to 1: the kernel keeps six of them, relative
to the seventh, whose value every position gets. So the rows of U are 48 differences and one constant a layer.

Legend: B prompts, h heads, d channels of a head, T = 7 tokens, t = 6 without the last, R = 49 rows of a layer
(the last is the constant), D = h d, C channels.
"""

import math
from dataclasses import dataclass
from typing import Any, cast

import torch

from sam_core.image_side import centred
from sam_core.mask_decoder import MaskDecoder
from sam_core.native.image_tiles import ImageTiles
from sam_core.native.library import FirstLook, Layer, address, run_prompts
from sam_core.prompt_side import after_look, merged, queries, token_values

LOG2_E = math.log2(math.e)  # the kernel's softmax runs on powers of two
HEADS = 8
FEATURES = 99  # FEATURES of kernel.h


@dataclass(frozen=True)
class Weights:
    """What of the model the rows of U go through, made once a crop; [D, ...] by head."""

    out0_DC: torch.Tensor  # centred
    out0_normed_DC: torch.Tensor  # through the first LayerNorm's gain, centred again
    out1_DC: torch.Tensor
    shift_C: torch.Tensor  # constant that layer 1 adds
    layer0_DN: torch.Tensor  # out0 through the projections key1, value1, query1
    layer1_before_DN: torch.Tensor  # out0_normed through key2, value2, upscaling
    layer1_DN: torch.Tensor  # out1 likewise
    shift_N: torch.Tensor


@dataclass(frozen=True)
class DecodedTokens:
    """The answer to B prompts, before any mask is drawn."""

    predicted_iou_BM: torch.Tensor  # of the three multimask tokens
    mask_tokens_BMC: torch.Tensor
    features: torch.Tensor  # [>= B, tiles, FEATURES, 64]: A0, A1 and the LayerNorms' scales
    upscaling_BRN: torch.Tensor  # rows of U through the first convolution, [B, 98, 256]


def projected_weights(decoder: MaskDecoder, tiles: ImageTiles) -> Weights:
    """The weights for one crop. They hold nothing of the image: made with it, they are never out of date."""
    layer0, layer1 = cast(Any, decoder.transformer).layers
    side = tiles.side
    out0_DC = centred(layer0.cross_attn_image_to_token.out_proj.weight.T)
    out1_DC = centred(layer1.cross_attn_image_to_token.out_proj.weight.T)
    out0_normed_DC = centred(out0_DC * side.gain0_C)
    after0_CN = torch.cat([side.key1.weight_CD, side.value1.weight_CD, side.query1.weight_CD], dim=1)
    after1_CN = torch.cat([side.key2.weight_CD, side.value2.weight_CD, side.upscaling.weight_CD], dim=1)
    return Weights(
        out0_DC,
        out0_normed_DC,
        out1_DC,
        side.shift1_C,
        out0_DC @ after0_CN,
        out0_normed_DC @ after1_CN,
        out1_DC @ after1_CN,
        side.shift1_C @ after1_CN,
    )


def decoded_tokens(
    decoder: MaskDecoder,
    tiles: ImageTiles,
    weights: Weights,
    sparse_BTC: torch.Tensor,
    features: torch.Tensor,
) -> DecodedTokens:
    """The answers to prompts of one point each, whose sparse embeddings [B, 2, C] are given.

    features: room for what the kernel keeps of each prompt and position, [>= B, tiles, FEATURES, 64].
    Source: TwoWayTransformer and MaskDecoder of segment-anything, commit dca509f.
    """
    transformer = cast(Any, decoder.transformer)
    layer0, layer1 = transformer.layers
    B = len(sparse_BTC)
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    encoding = torch.cat([own.expand(B, -1, -1), sparse_BTC], dim=1)

    tokens = layer0.norm1(layer0.self_attn(encoding, encoding, encoding))
    seen = _first_look(tiles, queries(layer0.cross_attn_token_to_image, tokens + encoding))
    tokens = after_look(layer0, tokens, seen)
    added0 = token_values(layer0.cross_attn_image_to_token, tokens, encoding)
    values0_BhdT = _differences(added0.value_BhTd)

    tokens = layer1.norm1(tokens + layer1.self_attn(tokens + encoding, tokens + encoding, tokens))
    query = queries(layer1.cross_attn_token_to_image, tokens + encoding)
    key1, value1, query1 = _by_head(_rows(values0_BhdT, weights.layer0_DN), 3)
    seen = _seen_in_layer(
        "sam_first_layer",
        query,
        key1,
        value1,
        tiles=tiles.count,
        epsilon=layer0.norm4.eps,
        image=tiles.layer0,
        values=tiles.layer0_values,
        token_keys=_differences(added0.key_BhTd)[..., :6] * LOG2_E,
        token_values=values0_BhdT,
        gram=packed_gram(_rows(values0_BhdT, weights.out0_DC)),
        features=features,
    )
    tokens = after_look(layer1, tokens, seen + tiles.side.value1.constant_hdP.mT)
    added1 = token_values(layer1.cross_attn_image_to_token, tokens, encoding)
    values1_BhdT = _differences(added1.value_BhTd)
    keys1_Bhdt = _differences(added1.key_BhTd)[..., :6] * LOG2_E

    final = transformer.final_attn_token_to_image
    query = queries(final, tokens + encoding)
    rows = _rows_of_both(
        values0_BhdT, weights.layer1_before_DN, values1_BhdT, weights.layer1_DN, weights.shift_N
    )
    key2, value2 = _by_head(rows[..., :256], 2)
    seen = _seen_in_layer(
        "sam_second_layer",
        query,
        key2,
        value2,
        tiles=tiles.count,
        epsilon=layer1.norm4.eps,
        image=tiles.layer1,
        values=tiles.layer1_values,
        token_keys=keys1_Bhdt,
        token_mix=query1 @ keys1_Bhdt,
        token_values=values1_BhdT,
        token_values_before=values0_BhdT,
        gram=packed_gram(
            _rows_of_both(
                values0_BhdT, weights.out0_normed_DC, values1_BhdT, weights.out1_DC, weights.shift_C
            )
        ),
        features=features,
    )
    seen = seen + tiles.side.value2.constant_hdP.mT
    tokens = transformer.norm_final_attn(tokens + final.out_proj(merged(seen)))
    iou_BM = decoder.iou_prediction_head(tokens[:, 0])[:, 1:]
    return DecodedTokens(iou_BM, tokens[:, 2:5], features, rows[..., 256:])


def packed_gram(rows_BRC: torch.Tensor) -> torch.Tensor:
    """Products of the rows with one another as add_square of attention.c reads them.

    Seven rows at a time, each piece from its diagonal on, twice what is off the diagonal.
    """
    R = rows_BRC.shape[1]
    gram_BRR = rows_BRC @ rows_BRC.mT
    twice_RR = torch.tril(torch.full((R, R), 2.0), -1) + torch.eye(R)
    gram_BRR = gram_BRR * twice_RR
    pieces = [gram_BRR[:, row:, row : row + 7].flatten(1) for row in range(0, R, 7)]
    return torch.cat(pieces, dim=1)


def _first_look(tiles: ImageTiles, query_BhTd: torch.Tensor) -> torch.Tensor:
    out = torch.empty_like(query_BhTd, memory_format=torch.contiguous_format)
    query_BhdT = (query_BhTd.mT * LOG2_E).contiguous()
    arguments = FirstLook(
        tiles.count, address(tiles.first_keys), address(tiles.first_values), address(query_BhdT), address(out)
    )
    run_prompts("sam_first_look", arguments, len(out))
    return out


def _seen_in_layer(
    function: str,
    query_BhTd: torch.Tensor,
    key_BhRd: torch.Tensor,
    value_BhRd: torch.Tensor,
    **arguments: torch.Tensor | float,
) -> torch.Tensor:
    """What the tokens see of the image after a layer, but for the value's constant; [B, h, T, d]."""
    B, heads, T, d = query_BhTd.shape
    query_BhdT = (query_BhTd.mT * LOG2_E).contiguous()
    mix_BhRT = key_BhRd @ query_BhdT
    out = query_BhTd.new_empty(B, heads, T, d + key_BhRd.shape[2])
    arguments |= {"queries": query_BhdT, "mix": mix_BhRT, "out": out}
    arrays = {
        name: value.contiguous() for name, value in arguments.items() if isinstance(value, torch.Tensor)
    }
    addresses = {name: address(array) for name, array in arrays.items()}
    run_prompts(function, Layer(**(arguments | addresses)), B)
    return out[..., :d] + out[..., d:] @ value_BhRd


def _differences(values_BhTd: torch.Tensor) -> torch.Tensor:
    """Each token's values less the last token's, then the last token's own; [B, h, d, T]."""
    last = values_BhTd[:, :, -1:]
    return torch.cat([values_BhTd[:, :, :-1] - last, last], dim=2).mT.contiguous()


def _rows(values_BhdT: torch.Tensor, weight_DN: torch.Tensor) -> torch.Tensor:
    """The values of all heads and tokens through a weight: 48 differences, then the constant; [B, R, N]."""
    B, heads, d, T = values_BhdT.shape
    values_hBTd = values_BhdT.permute(1, 0, 3, 2).flatten(1, 2)
    out_hBTN = (values_hBTd @ weight_DN.view(heads, d, -1)).view(heads, B, T, -1)
    differences = out_hBTN[:, :, :-1].transpose(0, 1).flatten(1, 2)
    return torch.cat([differences, out_hBTN[:, :, -1].sum(0)[:, None]], dim=1)


def _rows_of_both(
    values0_BhdT: torch.Tensor,
    weight0_DN: torch.Tensor,
    values1_BhdT: torch.Tensor,
    weight1_DN: torch.Tensor,
    shift_N: torch.Tensor,
) -> torch.Tensor:
    rows = torch.cat([_rows(values0_BhdT, weight0_DN), _rows(values1_BhdT, weight1_DN)], dim=1)
    rows[:, -1] += shift_N
    return rows


def _by_head(rows_BRN: torch.Tensor, projections: int) -> list[torch.Tensor]:
    B, R, _ = rows_BRN.shape
    parts_BRphd = rows_BRN.reshape(B, R, projections, HEADS, -1)
    return [part_BRhd.transpose(1, 2) for part_BRhd in parts_BRphd.unbind(2)]
