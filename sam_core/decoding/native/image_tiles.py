"""The image's half of the decoder, cut into tiles of 64 positions as the kernel reads it; made once per crop.

Positions that show the image come first, row by row, then the padding. Attention does not depend on the
order, and the upscaling stops after the last tile that shows the image.

Legend: h heads, d channels of a head, P positions, F features, N tiles.
"""

from dataclasses import dataclass

import torch

from sam_core.decoding.image_side import ImageSide, image_side
from sam_core.decoding.native.structs import TILE
from sam_core.model.mask_decoder import MaskDecoder


@dataclass(frozen=True)
class ImageTiles:
    """Arrays [tile, feature, 64] and values [tile, head, 64, 16]; attention.c lists their rows."""

    count: int
    shown: tuple[int, int]  # rows and columns of positions that show the image
    side: ImageSide
    first_keys: torch.Tensor
    first_values: torch.Tensor
    layer0: torch.Tensor
    layer0_values: torch.Tensor
    layer1: torch.Tensor
    layer1_values: torch.Tensor
    upscaling: torch.Tensor  # of the tiles that show the image
    upscaling_bias: torch.Tensor  # [256]


def image_tiles(
    decoder: MaskDecoder,
    features_1Chw: torch.Tensor,
    dense_1Chw: torch.Tensor,
    encoding_1Chw: torch.Tensor,
    shown: tuple[int, int],
) -> ImageTiles:
    """The tiles of one embedding; `shown` is how many of its rows and columns show the image."""
    rows, columns = features_1Chw.shape[2:]
    is_shown_hw = torch.zeros(rows, columns, dtype=torch.bool)
    is_shown_hw[: shown[0], : shown[1]] = True
    order_P = torch.argsort(~is_shown_hw.flatten(), stable=True)

    def ordered(map_1Chw: torch.Tensor) -> torch.Tensor:
        return map_1Chw.flatten(2)[..., order_P, None]

    side = image_side(decoder, ordered(features_1Chw), ordered(dense_1Chw), ordered(encoding_1Chw))
    shown_tiles = -(-shown[0] * shown[1] // TILE)
    return ImageTiles(
        count=rows * columns // TILE,
        shown=shown,
        side=side,
        first_keys=_tiled(side.key0_hdP),
        first_values=_values(side.value0_hdP),
        layer0=_tiled(
            side.query0_hdP, side.x_out0_hdP, side.key1.x_hdP, side.key1.constant_hdP, side.square0_P
        ),
        layer0_values=_values(side.value1.x_hdP),
        layer1=_tiled(
            side.query1.x_hdP,
            side.query1.constant_hdP,
            side.x_gain_out0_hdP,
            side.x_out1_hdP,
            side.key2.x_hdP,
            side.key2.constant_hdP,
            side.square1_P,
            side.x_shift1_P,
        ),
        layer1_values=_values(side.value2.x_hdP),
        upscaling=_tiled(side.upscaling.x_hdP)[:shown_tiles],
        upscaling_bias=side.upscaling.constant_hdP.flatten(),
    )


def _tiled(*parts: torch.Tensor) -> torch.Tensor:
    """Feature rows [..., P], one after the other, as [N, F, 64]."""
    rows_FP = torch.cat([part.reshape(-1, part.shape[-1]) for part in parts])
    return rows_FP.view(len(rows_FP), -1, TILE).transpose(0, 1).contiguous()


def _values(values_hdP: torch.Tensor) -> torch.Tensor:
    heads, d, P = values_hdP.shape
    return values_hdP.view(heads, d, P // TILE, TILE).permute(2, 0, 3, 1).contiguous()
