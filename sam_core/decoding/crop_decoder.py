"""The interface of a crop's decoder, and the one place where its implementation is chosen."""

from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from sam_core.decoding.crop_frame import CropFrame
from sam_core.decoding.gpu_decoder import DeviceDecoder
from sam_core.decoding.native.decoder import NativeDecoder, is_served
from sam_core.decoding.torch_decoder import TorchDecoder
from sam_core.masks.candidates import Candidates
from sam_core.model.sam import Sam
from sam_core.options import MaskOptions


class CropDecoder(Protocol):
    """Decodes prompts against the embedding of one crop; built by `crop_decoder`."""

    def candidates(self, points_N2: npt.NDArray[np.float64]) -> Candidates:
        """The masks for points at x, y in pixels of the crop; no points give no candidates."""
        ...


def crop_decoder(
    sam: Sam, features_1Chw: torch.Tensor, frame: CropFrame, options: MaskOptions
) -> CropDecoder:
    """The fastest decoder for the device and the precision; all of them give the same masks."""
    if features_1Chw.device.type != "cpu":
        return DeviceDecoder(sam, features_1Chw, frame, options)
    if options.precision == "float32" and is_served(sam, features_1Chw):
        return NativeDecoder(sam, features_1Chw, frame, options)
    return TorchDecoder(sam, features_1Chw, frame, options)
