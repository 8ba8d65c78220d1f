"""The image's side of the fused decoder: one affine map of the features, position by position.

Everything that decoding reads of an image (`decoding/image_side.py`) is features @ weight + constant, where
the constant holds "no mask" and the positional encodings; the only exceptions are two squared norms. Weights
and constants come from `image_side` in float64, once per model: the constant from features of 0, the weight
from unit vectors. An image then costs one batched product instead of some 290 small operations.

Legend: P positions, C = 256 channels, h = 8 heads, d = 16 channels of a head, D = h d.
Oracle: `image_side.crop_side`.
"""

import copy
from dataclasses import dataclass

import torch

from sam_core.decoding.image_side import ImageSide, Projection, centred, image_side
from sam_core.decoding.triton.head_rows import HEADS, INNER_DIM
from sam_core.decoding.triton.two_halves import is_held
from sam_core.decoding.triton.upscaling_weights import UpscalingWeights
from sam_core.model.sam import Sam


@dataclass(frozen=True)
class LookSide:
    """The image's part of the image tokens that tokens attend to, [P, D] in the type of the products."""

    key_PD: torch.Tensor
    key_constant_PD: torch.Tensor  # less their mean over positions, which does not change a softmax
    value_PD: torch.Tensor


@dataclass(frozen=True)
class FusedSide:
    """All that the kernels read of an image, in the type of the products unless noted."""

    # block 0
    key0_hPd: torch.Tensor  # float32
    value0_hPd: torch.Tensor
    query0_PD: torch.Tensor
    x_out0_PD: torch.Tensor
    square0_P: torch.Tensor  # float32
    # block 1
    look1: LookSide
    query1_PD: torch.Tensor
    query1_constant_PD: torch.Tensor
    x_gain_out0_PD: torch.Tensor
    x_out1_PD: torch.Tensor
    square1_P: torch.Tensor  # float32
    x_shift1_P: torch.Tensor  # float32
    # the final attention and the upscaling
    look2: LookSide
    upscaling_PN: torch.Tensor  # N = (i, j, channel), pixel (i, j) of the two by two
    upscaling: UpscalingWeights
    is_held: torch.Tensor  # whether all of it lies within float16's range, in which it is multiplied

    @property
    def dtype(self) -> torch.dtype:
        """The type of the products."""
        return self.query0_PD.dtype


# the parts that the map gives, [P, D] each, in this order
PARTS = (
    "key0",
    "key1",
    "key2",
    "value0",
    "query0",
    "x_out0",
    "value1",
    "query1",
    "x_gain_out0",
    "x_out1",
    "value2",
    "upscaling_top",
    "upscaling_bottom",
)


class ImageSideMaps:
    """The map of a model, for embeddings of its own size and products of one type."""

    @torch.inference_mode()
    def __init__(self, sam: Sam, dtype: torch.dtype) -> None:
        decoder = copy.deepcopy(sam.mask_decoder).double()
        pe_1CHW = sam.prompt_encoder.get_dense_pe().double()
        dense_1CHW = sam.prompt_encoder(None, None, None)[1].double()
        nothing = image_side(decoder, torch.zeros_like(pe_1CHW), dense_1CHW, pe_1CHW)
        # a position a channel, each a unit vector; the positional encoding is in the constant already
        C = pe_1CHW.shape[1]
        units_1C1C = torch.eye(C, dtype=torch.float64, device=sam.device).view(1, C, 1, C)
        none_1C1C, dense_1C1C = torch.zeros_like(units_1C1C), dense_1CHW[..., :1, :1].expand(1, C, 1, C)
        at_units = image_side(decoder, units_1C1C, dense_1C1C, none_1C1C)
        at_zero = image_side(decoder, none_1C1C, dense_1C1C, none_1C1C)

        self._constant_nPD = _parts(nothing).float()
        self._weight_nCD = (_parts(at_units) - _parts(at_zero)).float()
        self._x_shift_P = nothing.x_shift1_P.float()
        self._x_shift_C = (at_units.x_shift1_P - at_zero.x_shift1_P).float()
        self._dtype = dtype
        self._key1_constant_PD = _constant(nothing.key1).to(dtype).contiguous()
        self._key2_constant_PD = _constant(nothing.key2).to(dtype).contiguous()
        self._query1_constant_PD = nothing.query1.constant_hdP.flatten(0, 1).T.to(dtype).contiguous()
        block0, _ = sam.mask_decoder.transformer.blocks()
        self._before_norm_C = dense_1CHW[0, :, 0, 0].float() + block0.cross_attn_image_to_token.out_proj.bias
        self._gain_C = block0.norm4.weight
        self._upscaling = UpscalingWeights.of(sam.mask_decoder, dtype)

    @torch.inference_mode()
    def of(self, features_PC: torch.Tensor) -> FusedSide:
        """The side of an image with these features, float32 [P, C]."""
        parts, P = len(PARTS), len(features_PC)
        every_nPD = torch.baddbmm(self._constant_nPD, features_PC.expand(parts, P, -1), self._weight_nCD)
        part = dict(zip(PARTS, every_nPD.to(self._dtype).unbind(), strict=True))
        centred0_PC = centred(features_PC + self._before_norm_C)
        return FusedSide(
            key0_hPd=_by_head(every_nPD[0]),
            value0_hPd=_by_head(part["value0"]),
            query0_PD=part["query0"],
            x_out0_PD=part["x_out0"],
            square0_P=centred0_PC.square().sum(1),
            look1=LookSide(part["key1"], self._key1_constant_PD, part["value1"]),
            query1_PD=part["query1"],
            query1_constant_PD=self._query1_constant_PD,
            x_gain_out0_PD=part["x_gain_out0"],
            x_out1_PD=part["x_out1"],
            square1_P=centred(centred0_PC * self._gain_C).square().sum(1),
            x_shift1_P=torch.addmv(self._x_shift_P, features_PC, self._x_shift_C),
            look2=LookSide(part["key2"], self._key2_constant_PD, part["value2"]),
            upscaling_PN=torch.cat([part["upscaling_top"], part["upscaling_bottom"]], 1),
            upscaling=self._upscaling,
            is_held=is_held(every_nPD).all(),
        )


def _parts(side: ImageSide) -> torch.Tensor:
    """The parts of an image's side that are affine in its features, [n, P, D], in the order of PARTS."""
    parts_hdP = [
        side.key0_hdP,
        side.key1.x_hdP,
        side.key2.x_hdP,
        side.value0_hdP,
        side.query0_hdP,
        side.x_out0_hdP,
        side.value1.x_hdP,
        side.query1.x_hdP,
        side.x_gain_out0_hdP,
        side.x_out1_hdP,
        side.value2.x_hdP,
        side.upscaling.x_hdP[:2],
        side.upscaling.x_hdP[2:],
    ]
    return torch.stack([part.flatten(0, 1).T for part in parts_hdP])


def _constant(projection: Projection) -> torch.Tensor:
    """What the projection adds at each position, less its mean over positions; [P, D]."""
    constant_DP = projection.constant_hdP.flatten(0, 1)
    return (constant_DP - constant_DP.mean(1, keepdim=True)).T


def _by_head(x_PD: torch.Tensor) -> torch.Tensor:
    return x_PD.view(-1, HEADS, INNER_DIM // HEADS).transpose(0, 1).contiguous()
