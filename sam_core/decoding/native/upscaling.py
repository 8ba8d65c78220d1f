"""The logits of a prompt's masks from its decoded tokens, by the kernel."""

from ctypes import byref
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sam_core.decoding.native import library
from sam_core.decoding.native.arrays import address, floats
from sam_core.decoding.native.image_tiles import ImageTiles
from sam_core.decoding.native.structs import FEATURES, OUTPUTS, ROWS_TO_UPSCALE, TILE, Upscaling
from sam_core.model.mask_decoder import MaskDecoder

MASKS = 3  # of a prompt, at most
# the masks of a prompt and a fourth as slack: a vector may read past the end of the last row
LOGITS = floats(MASKS + 1, 4, "plane")


class UpscalingPass:
    """Upscales one prompt at a time, for the mask tokens that are wanted."""

    def __init__(self, decoder: MaskDecoder, tiles: ImageTiles) -> None:
        _, norm, second = decoder.upscaling_layers()
        self._tiles = len(tiles.upscaling)
        self._arguments = Upscaling.filled(
            tiles=self._tiles,
            epsilon=norm.eps,
            image=tiles.upscaling,
            bias=tiles.upscaling_bias,
            norm_weight=norm.weight,
            norm_bias=norm.bias,
            second=_blocks_of_outputs(second.weight),
            second_bias=second.bias,
        )

    @property
    def plane(self) -> int:
        """Logits of one of the four sub-rows of all positions."""
        return 4 * TILE * self._tiles

    def buffer(self) -> npt.NDArray[np.float32]:
        """Memory for the logits of a prompt, [mask, 4 sub-rows, plane]."""
        return np.zeros((MASKS + 1, 4, self.plane), dtype=np.float32)

    def draw(
        self,
        features: torch.Tensor,
        rows: torch.Tensor,
        hyper_Mc: torch.Tensor,
        logits: npt.NDArray[np.float32],
    ) -> None:
        """Writes the logits of 1 to 3 masks of a prompt.

        features, rows: the prompt's in TokenBuffers; hyper_Mc: how the masks weigh the channels.
        """
        masks = len(hyper_Mc)
        if not 1 <= masks <= MASKS:
            raise ValueError(f"the CPU kernel draws 1 to {MASKS} masks per prompt, not {masks}")
        lengths = {"tiles": self._tiles, "masks": masks, "plane": self.plane}
        features = features[: self._tiles]
        kernel: Any = library.loaded()
        kernel.sam_logits(
            byref(self._arguments),
            address("features", features, floats("tiles", FEATURES, TILE), lengths),
            address("upscaling", rows, floats(*ROWS_TO_UPSCALE)),
            address("hyper", hyper_Mc, floats("masks", OUTPUTS), lengths),
            masks,
            address("logits", logits, LOGITS, lengths),
        )


def _blocks_of_outputs(weight_cokl: torch.Tensor) -> torch.Tensor:
    """The second transposed convolution as the kernel reads it: [4 sub-positions, blocks, c, 4 outputs]."""
    weight_goc = weight_cokl.permute(2, 3, 1, 0).flatten(0, 1)
    outputs, channels = weight_goc.shape[1:]
    return weight_goc.view(4, outputs // 4, 4, channels).transpose(2, 3).contiguous()
