"""The logits of a prompt's masks from its decoded tokens, by the kernel."""

import ctypes
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from sam_core.decoding.native import library
from sam_core.decoding.native.image_tiles import TILE, ImageTiles
from sam_core.decoding.native.library import Upscaling, address
from sam_core.model.mask_decoder import MaskDecoder


class UpscalingPass:
    """Upscales one prompt at a time, for the mask tokens that are wanted."""

    def __init__(self, decoder: MaskDecoder, tiles: ImageTiles) -> None:
        _, norm, _, second, _ = cast(Any, decoder.output_upscaling)
        self._tiles, self._second = tiles, _blocks_of_outputs(second.weight)
        self._arguments = Upscaling(
            len(tiles.upscaling),
            norm.eps,
            address(tiles.upscaling),
            address(tiles.upscaling_bias),
            address(norm.weight),
            address(norm.bias),
            address(self._second),
            address(second.bias),
        )

    @property
    def plane(self) -> int:
        """Logits of one of the four sub-rows of all positions."""
        return 4 * TILE * len(self._tiles.upscaling)

    def room(self) -> npt.NDArray[np.float32]:
        """Where the logits of three masks go, [mask, 4 sub-rows, plane]."""
        # a fourth mask's place is slack: vectors may read past the last row
        return np.zeros((4, 4, self.plane), dtype=np.float32)

    def draw(
        self,
        features: torch.Tensor,
        upscaling: torch.Tensor,
        hyper_Mc: torch.Tensor,
        logits: npt.NDArray[np.float32],
    ) -> None:
        """Writes the logits of 1 to 3 masks of a prompt; features and upscaling are its TokenBuffers'."""
        kernel: Any = library.loaded()
        kernel.sam_logits(
            ctypes.byref(self._arguments),
            ctypes.c_void_p(address(features)),
            ctypes.c_void_p(address(upscaling)),
            ctypes.c_void_p(address(hyper_Mc)),
            len(hyper_Mc),
            ctypes.c_void_p(address(logits)),
        )


def _blocks_of_outputs(weight_cokl: torch.Tensor) -> torch.Tensor:
    """The second transposed convolution as the kernel reads it: [4 sub-positions, blocks, c, 4 outputs]."""
    weight_goc = weight_cokl.permute(2, 3, 1, 0).flatten(0, 1)
    outputs, channels = weight_goc.shape[1:]
    return weight_goc.view(4, outputs // 4, 4, channels).transpose(2, 3).contiguous()
