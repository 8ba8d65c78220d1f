"""The image's half of the mask decoder, computed once a crop and shared by all its prompts.

Automatic mask generation has no mask prompt, so every prompt starts from the same image tokens x. After
the first layer they are LayerNorm(x + A U), where only A and U depend on the prompt and have low rank. Every
later projection of the tokens splits in the same way. The part with x is computed here, once; image_tokens.py
has the formulas and the small part with A and U.

Legend: h heads, d channels of a head, D = h d, C channels, P positions of the image.
"""

from dataclasses import dataclass

import torch

from sam_core.model.mask_decoder import MaskDecoder
from sam_core.model.sam import Sam


@dataclass(frozen=True)
class Projection:
    """One projection W of image tokens, split as image_tokens.py explains."""

    x_hdP: torch.Tensor  # x g W
    weight_CD: torch.Tensor  # g W
    constant_hdP: torch.Tensor  # (b + positional encoding) W + bias; P is 1 if no encoding is added


@dataclass(frozen=True)
class ImageSide:
    """Everything that decoding a prompt needs from the image; the fields are in their order of use."""

    heads: int
    # layer 0, plain
    key0_hdP: torch.Tensor
    value0_hdP: torch.Tensor
    query0_hdP: torch.Tensor
    # layer 1, on the image tokens after layer 0
    square0_P: torch.Tensor  # |x|^2, for the LayerNorm's variance
    x_out0_hdP: torch.Tensor  # x . the output projection of layer 0; times the tokens' values it is x . U
    key1: Projection
    value1: Projection
    query1: Projection
    # the final attention and the upscaling, on the image tokens after layer 1
    square1_P: torch.Tensor
    gain0_C: torch.Tensor
    shift1_C: torch.Tensor  # what layer 1 adds at every position
    x_shift1_P: torch.Tensor
    x_gain_out0_hdP: torch.Tensor
    x_out1_hdP: torch.Tensor
    key2: Projection
    value2: Projection
    # its "heads" are the four pixels that a position becomes; centred over channels for the next LayerNorm
    upscaling: Projection


@torch.inference_mode()
def crop_side(sam: Sam, embedding_1CHW: torch.Tensor) -> ImageSide:
    """The shared half of decoding for one embedding without a mask prompt."""
    _, dense_1CHW = sam.prompt_encoder(None, None, None)
    return image_side(sam.mask_decoder, embedding_1CHW, dense_1CHW, sam.prompt_encoder.get_dense_pe())


def image_side(
    decoder: MaskDecoder, embedding_1CHW: torch.Tensor, dense_1CHW: torch.Tensor, pe_1CHW: torch.Tensor
) -> ImageSide:
    """The shared half of decoding for one embedding; `dense` encodes "no mask", `pe` the positions.

    Source: TwoWayTransformer and MaskDecoder of segment-anything, commit dca509f; the low-rank form is ours.
    """
    block0, block1 = decoder.transformer.blocks()
    final = decoder.transformer.final_attn_token_to_image
    heads = final.num_heads
    x_PC = (embedding_1CHW + dense_1CHW)[0].flatten(1).T.contiguous()
    pe_PC = pe_1CHW[0].flatten(1).T
    to_image, to_tokens = block0.cross_attn_token_to_image, block0.cross_attn_image_to_token
    gain0, bias0 = block0.norm4.weight, block0.norm4.bias
    gain1, bias1 = block1.norm4.weight, block1.norm4.bias
    out0, out1 = to_tokens.out_proj, block1.cross_attn_image_to_token.out_proj

    centred0_PC = centred(x_PC + out0.bias)
    centred1_PC = centred(centred0_PC * gain0)
    shift1_C = centred(bias0 + out1.bias)

    def after0(linear: torch.nn.Linear, pe: torch.Tensor | float) -> Projection:
        return _projection(centred0_PC, gain0, bias0 + pe, linear.weight, linear.bias, heads)

    def after1(
        weight_DC: torch.Tensor, bias_D: torch.Tensor, pe: torch.Tensor | float, groups: int
    ) -> Projection:
        return _projection(centred1_PC, gain1, bias1 + pe, weight_DC, bias_D, groups)

    first = decoder.upscaling_layers().first
    assert first.bias is not None  # noqa: S101  MaskDecoder makes it with one
    # [C, c, 2, 2] with outputs last: pixel (i, j) of the two by two, then channel
    upscaling_Cgc = centred(first.weight.permute(0, 2, 3, 1).flatten(1, 2))
    return ImageSide(
        heads=heads,
        key0_hdP=by_head(to_image.k_proj(x_PC + pe_PC), heads),
        value0_hdP=by_head(to_image.v_proj(x_PC), heads),
        query0_hdP=by_head(to_tokens.q_proj(x_PC + pe_PC), heads),
        square0_P=centred0_PC.square().sum(1),
        x_out0_hdP=by_head(centred0_PC @ out0.weight, heads),
        key1=after0(block1.cross_attn_token_to_image.k_proj, pe_PC),
        value1=after0(block1.cross_attn_token_to_image.v_proj, 0.0),
        query1=after0(block1.cross_attn_image_to_token.q_proj, pe_PC),
        square1_P=centred1_PC.square().sum(1),
        gain0_C=gain0,
        shift1_C=shift1_C,
        x_shift1_P=centred1_PC @ shift1_C,
        x_gain_out0_hdP=by_head(centred(centred1_PC * gain0) @ out0.weight, heads),
        x_out1_hdP=by_head(centred1_PC @ out1.weight, heads),
        key2=after1(final.k_proj.weight, final.k_proj.bias, pe_PC, heads),
        value2=after1(final.v_proj.weight, final.v_proj.bias, 0.0, heads),
        upscaling=after1(upscaling_Cgc.flatten(1).T, centred(first.bias).repeat(4), 0.0, 4),
    )


def centred(values: torch.Tensor) -> torch.Tensor:
    """The values less their mean over the last axis, the channels."""
    return values - values.mean(-1, keepdim=True)


def by_head(values_PD: torch.Tensor, heads: int) -> torch.Tensor:
    """[P, h d] as [h, d, P]: positions last, so that they fill vector units."""
    return values_PD.T.reshape(heads, -1, values_PD.shape[0]).contiguous()


def _projection(
    centred_PC: torch.Tensor,
    gain_C: torch.Tensor,
    constant: torch.Tensor,
    weight_DC: torch.Tensor,
    bias_D: torch.Tensor,
    groups: int,
) -> Projection:
    weight_CD = gain_C[:, None] * weight_DC.T
    constant_PD = constant.reshape(-1, len(gain_C)) @ weight_DC.T + bias_D
    return Projection(by_head(centred_PC @ weight_CD, groups), weight_CD, by_head(constant_PD, groups))
