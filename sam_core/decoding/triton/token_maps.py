"""Maps for a prompt's values: consecutive matrices of a model, multiplied into one.

In the attention of image to tokens a prompt adds V O to the image tokens: its values V, 64 block-diagonal
rows a block (head_rows.py), through the output projection O. Only the projections V (O g W) and the Gram
matrices V (O Oᵀ) Vᵀ are needed. Both brackets are constant, so V O, 256 wide, is never made. They are
multiplied once, in float64.

After block 1 the rows of block 0 are V (O g), centred again, and one row is added that all prompts share:
what block 1 adds everywhere, the shift. It is in row 7, the padding of head 0.

TokenMaps also holds the weights of the blocks' MLPs for their kernel (token_mlp.py).
"""

from dataclasses import dataclass

import torch

from sam_core.decoding.image_side import ImageSide, centred, crop_side
from sam_core.decoding.triton.token_mlp import TokenMLP
from sam_core.model.sam import Sam


@dataclass(frozen=True)
class TokenMap:
    """A map of what the blocks have added, to N columns; transposed, float32 [N, 128]."""

    first_ND: torch.Tensor  # of block 0's values
    second_ND: torch.Tensor | None = None  # of block 1's values, once that block has added some
    shift_N: torch.Tensor | None = None


@dataclass(frozen=True)
class TokenMaps:
    """All maps of a model, the constants that the image tokens' bias gives, and the blocks' MLPs."""

    gram0_DD: torch.Tensor
    key1: TokenMap
    value1: TokenMap
    query1: TokenMap
    # after block 1: the Gram matrices of both blocks' values and the shift
    gram00_DD: torch.Tensor
    gram10_DD: torch.Tensor
    gram11_DD: torch.Tensor
    shift_gram0_D: torch.Tensor
    shift_gram1_D: torch.Tensor
    shift_square_1: torch.Tensor
    key2: TokenMap
    value2: TokenMap
    upscaling: TokenMap
    value1_constant_D: torch.Tensor
    value2_constant_D: torch.Tensor
    upscaling_constant_N: torch.Tensor
    mlps: tuple[TokenMLP, TokenMLP]

    @classmethod
    @torch.inference_mode()
    def of(cls, sam: Sam) -> "TokenMaps":
        """The maps of a model."""
        h, w = sam.prompt_encoder.image_embedding_size
        size = (1, sam.prompt_encoder.embed_dim, h, w)
        features_1Chw = torch.zeros(size, dtype=torch.float32, device=sam.device)
        return cls._of(sam, crop_side(sam, features_1Chw))

    @classmethod
    def _of(cls, sam: Sam, side: ImageSide) -> "TokenMaps":
        block0, block1 = sam.mask_decoder.transformer.blocks()
        outs = [block.cross_attn_image_to_token.out_proj for block in (block0, block1)]
        out0_DC, out1_DC = (centred(out.weight.T.double()) for out in outs)
        before_DC = centred(out0_DC * side.gain0_C)
        shift_C = side.shift1_C.double()

        def after0(weight_CN: torch.Tensor) -> TokenMap:
            return TokenMap(_kept(out0_DC @ weight_CN.double()))

        def after1(weight_CN: torch.Tensor) -> TokenMap:
            weight_CN = weight_CN.double()
            return TokenMap(
                _kept(before_DC @ weight_CN), _kept(out1_DC @ weight_CN), (shift_C @ weight_CN).float()
            )

        return cls(
            gram0_DD=_kept(out0_DC @ out0_DC.T),
            key1=after0(side.key1.weight_CD),
            value1=after0(side.value1.weight_CD),
            query1=after0(side.query1.weight_CD),
            gram00_DD=_kept(before_DC @ before_DC.T),
            gram10_DD=_kept(out1_DC @ before_DC.T),
            gram11_DD=_kept(out1_DC @ out1_DC.T),
            shift_gram0_D=(before_DC @ shift_C).float(),
            shift_gram1_D=(out1_DC @ shift_C).float(),
            shift_square_1=(shift_C @ shift_C).float().view(1),
            key2=after1(side.key2.weight_CD),
            value2=after1(side.value2.weight_CD),
            upscaling=after1(side.upscaling.weight_CD),
            value1_constant_D=side.value1.constant_hdP.flatten(),
            value2_constant_D=side.value2.constant_hdP.flatten(),
            upscaling_constant_N=side.upscaling.constant_hdP.flatten(),
            mlps=(TokenMLP.of(block0.mlp), TokenMLP.of(block1.mlp)),
        )


def _kept(map_DN: torch.Tensor) -> torch.Tensor:
    """The map as the kernels read it: transposed, float32."""
    return map_DN.T.float().contiguous()
