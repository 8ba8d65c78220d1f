"""The decoder's transformer for a GPU: work on the image in Triton, work among the tokens in torch.

Image tokens are never written out: a prompt has 128 factors and a scale per position (positions.py). Passes
over its positions make and read them: the looks of the tokens (first_look.py, look.py) and the image's
attention to the tokens. token_pass.py does the work among the tokens, with torch's linear layers in full
float32, except for their MLPs (token_mlp.py).

The kernels are the same for float16 and for float32, whose products are near float32 (two_halves.py): the
type of the image's side and of the factors decides.

Nothing here waits for the device, and memory comes only from torch's allocator, so a call can be captured in
a CUDA graph. Oracle: `prompt_side.decoded_prompts`.
"""

from dataclasses import dataclass

import torch

from sam_core.decoding.token_pass import StartedTokens, tokens_decoded_from
from sam_core.decoding.triton.first_look import first_look
from sam_core.decoding.triton.head_rows import HEAD_DIM, HEADS, INNER_DIM, TOKENS
from sam_core.decoding.triton.image_side_maps import FusedSide
from sam_core.decoding.triton.look import look
from sam_core.decoding.triton.positions import positions_after_first, positions_after_second
from sam_core.decoding.triton.prompt_start import PromptStart
from sam_core.decoding.triton.token_maps import TokenMaps
from sam_core.decoding.triton.token_mlp import serves_mlp
from sam_core.decoding.triton.token_products import AddedValues, gram, mix, seen_values, upscaling_values
from sam_core.decoding.triton.two_halves import is_held
from sam_core.decoding.triton.upscaling_weights import mask_blocks
from sam_core.decoding.upscaling import mask_weights
from sam_core.model.sam import Sam
from sam_core.model.transformer import TwoWayTransformer
from sam_core.model.triton.device import INTERPRETED

CHANNELS, MASKS = 2 * INNER_DIM, 3
# In this order: A100; A10G, A40, RTX 3090; L4, L40S, RTX 4090; H100, H200; B200; B300; RTX 5090. They have
# tensor cores for tf32, and enough shared memory for the largest program. float32 fits an H100 alone: on
# cards without warp groups the looks would spill 15 KB a thread, and on a B200 they need more tensor memory
# than there is. bfloat16 has no kernels.
CAPABILITIES = {
    torch.float16: ((8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (10, 3), (12, 0)),
    torch.float32: ((9, 0),),
}
# positions of one program of the largest tiling
POSITIONS_MULTIPLE = 256


@dataclass(frozen=True)
class FusedPrompts:
    """The decoder's answer to B prompts of M masks, and the inputs for the upscaling kernel to draw them."""

    predicted_iou_N: torch.Tensor  # float32 [B M]; NaN where the prompt's numbers leave float16's range
    scale_BP: torch.Tensor  # float32
    # float16 or float32
    factors_BPF: torch.Tensor  # [B, P, 128]
    values_BFN: torch.Tensor  # [B, 128, 256]: the added rows through the first convolution
    hyper_BDK: torch.Tensor  # [B, 128, 16]: upscaling_weights.mask_blocks


def serves(sam: Sam, dtype: torch.dtype) -> bool:
    """Whether the kernels can multiply this type and fit the model's sizes, weights and device."""
    decoder, transformer = sam.mask_decoder, sam.mask_decoder.transformer
    blocks = transformer.blocks()
    crossed = [transformer.final_attn_token_to_image]
    for block in blocks:
        crossed += [block.cross_attn_token_to_image, block.cross_attn_image_to_token]
    # the decoder's own tokens, a point and its padding
    tokens = 1 + decoder.num_mask_tokens + 2
    rows, columns = sam.prompt_encoder.image_embedding_size
    return (
        len(blocks) == 2
        and all(attention.num_heads == HEADS for attention in crossed)
        and all(attention.q_proj.out_features == INNER_DIM for attention in crossed)
        and decoder.transformer_dim == CHANNELS
        and all(serves_mlp(block.mlp) for block in blocks)
        and (tokens, decoder.num_multimask_outputs) == (TOKENS, MASKS)
        and rows * columns % POSITIONS_MULTIPLE == 0
        and all(weight.dtype == torch.float32 for weight in decoder.parameters())
        and _serves_device(sam.device, dtype)
    )


def _serves_device(device: torch.device, dtype: torch.dtype) -> bool:
    if INTERPRETED:
        return dtype in CAPABILITIES
    if device.type != "cuda" or torch.version.hip is not None:
        return False
    return torch.cuda.get_device_capability(device) in CAPABILITIES.get(dtype, ())


class FusedDecoder:
    """The transformer of a model for which `serves` is true, with the maps of its tokens."""

    def __init__(self, sam: Sam, maps: TokenMaps) -> None:
        self._decoder, self._maps = sam.mask_decoder, maps

    @torch.inference_mode()
    def decoded(self, side: FusedSide, start: PromptStart) -> FusedPrompts:
        """The answers to prompts on the image of this side."""
        image = _FusedImage(self._decoder.transformer, self._maps, side, start)
        started = StartedTokens(start.encoding_BTC, start.tokens_BTC)
        answer = tokens_decoded_from(self._decoder, image, started, self._maps.mlps)
        values_BFN = upscaling_values(image.added, self._maps, side.dtype)
        hyper_BDK = mask_blocks(mask_weights(self._decoder, answer.mask_tokens_BMC)).to(side.dtype)
        is_held_B = side.is_held & image.is_held_B
        for numbers in (values_BFN, hyper_BDK):
            is_held_B &= is_held(numbers).flatten(1).all(1)
        predicted_iou_BM = answer.predicted_iou_BM.where(is_held_B[:, None], torch.nan)
        return FusedPrompts(
            predicted_iou_BM.flatten(), image.scale_BP, image.factors_BPF, values_BFN, hyper_BDK
        )


class _FusedImage:
    """An ImageAttention through the kernels; it stores the image tokens as they are after the last block."""

    factors_BPF: torch.Tensor
    scale_BP: torch.Tensor
    is_held_B: torch.Tensor  # whether what the prompt has added lies within float16's range
    added: AddedValues

    def __init__(
        self,
        transformer: TwoWayTransformer,
        maps: TokenMaps,
        side: FusedSide,
        start: PromptStart,
    ) -> None:
        self._block0, self._block1 = transformer.blocks()
        self._final = transformer.final_attn_token_to_image
        self._maps, self._side, self._start = maps, side, start

    def in_block0(self, queries_BTC: torch.Tensor) -> torch.Tensor:
        # the queries' projection does not depend on the image: the start holds it
        seen_ND = first_look(self._start.query_hND, self._side.key0_hPd, self._side.value0_hPd)
        return _split(seen_ND.view(len(queries_BTC), TOKENS, INNER_DIM))

    def in_block1(
        self, keys_BTC: torch.Tensor, values_BTC: torch.Tensor, queries_BTC: torch.Tensor
    ) -> torch.Tensor:
        side, maps, attention = self._side, self._maps, self._block0.cross_attn_image_to_token
        key_BTD, value_BTD = attention.k_proj(keys_BTC), attention.v_proj(values_BTC)
        added = self.added = AddedValues(value_BTD)
        gram_BRR = gram(added, maps, side.dtype)
        self.is_held_B = _has_held_squares(gram_BRR)
        self.factors_BPF, self.scale_BP = positions_after_first(
            side, key_BTD, value_BTD, gram_BRR, self._block0.norm4.eps
        )
        query_BTD = self._block1.cross_attn_token_to_image.q_proj(queries_BTC)
        mixed = mix(query_BTD, added, maps.key1, side.dtype)
        sums = look(side.look1, query_BTD, mixed, self.factors_BPF, self.scale_BP)
        return _split(seen_values(sums, added, maps.value1, maps.value1_constant_D))

    def after_blocks(
        self, keys_BTC: torch.Tensor, values_BTC: torch.Tensor, queries_BTC: torch.Tensor
    ) -> torch.Tensor:
        side, maps, attention = self._side, self._maps, self._block1.cross_attn_image_to_token
        first, key_BTD, value_BTD = self.added, attention.k_proj(keys_BTC), attention.v_proj(values_BTC)
        added = self.added = AddedValues(first.first_BTD, value_BTD)
        gram_BFF = gram(added, maps, side.dtype)
        self.is_held_B = self.is_held_B & _has_held_squares(gram_BFF)
        self.factors_BPF, self.scale_BP = positions_after_second(
            side, key_BTD, added, mix(key_BTD, first, maps.query1, side.dtype), gram_BFF,
            self.factors_BPF, self.scale_BP, self._block1.norm4.eps,
        )  # fmt: skip
        query_BTD = self._final.q_proj(queries_BTC)
        mixed = mix(query_BTD, added, maps.key2, side.dtype)
        sums = look(side.look2, query_BTD, mixed, self.factors_BPF, self.scale_BP)
        return _split(seen_values(sums, added, maps.value2, maps.value2_constant_D))


def _has_held_squares(gram_BFF: torch.Tensor) -> torch.Tensor:
    """Whether a prompt's diagonal lies within float16's range, and with it the products between its rows."""
    return is_held(gram_BFF.diagonal(dim1=1, dim2=2)).all(1)


def _split(values_BTD: torch.Tensor) -> torch.Tensor:
    """[B, h, T, d], a view."""
    return values_BTD.view(-1, TOKENS, HEADS, HEAD_DIM).transpose(1, 2)
