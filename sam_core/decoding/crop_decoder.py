"""The interface of a crop's decoder, and the one place where its implementation is chosen."""

from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch

from sam_core.decoding.calling_decoder import CallingDecoder
from sam_core.decoding.crop_frame import CropFrame
from sam_core.decoding.device_kernels import kernel_decoder
from sam_core.decoding.gpu_decoder import DeviceDecoder
from sam_core.decoding.native.decoder import NativeDecoder, is_served
from sam_core.decoding.torch_decoder import TorchDecoder
from sam_core.masks.candidates import Candidates
from sam_core.masks.crops import XYXY
from sam_core.masks.image_masks import ImageMasks
from sam_core.masks.selection import masks_of_crop
from sam_core.model.ambient import ambient_state_aside
from sam_core.model.own_modules import are_own
from sam_core.model.sam import Sam
from sam_core.options import MaskOptions


class CropDecoder(Protocol):
    """Decodes prompts against the embedding of one crop; built by `crop_decoder`."""

    def candidates(self, points_N2: npt.NDArray[np.float64]) -> Candidates:
        """The masks for points at x, y in pixels of the crop; no points give no candidates."""
        ...


@runtime_checkable
class SelectingDecoder(Protocol):
    """A CropDecoder that selects and encodes its masks itself, because they lie on a device."""

    def masks(
        self, points_N2: npt.NDArray[np.float64], crop_xyxy: XYXY, image_size: tuple[int, int]
    ) -> ImageMasks:
        """As `crop_masks`."""
        ...


@ambient_state_aside()
def crop_masks(
    decoder: CropDecoder,
    points_N2: npt.NDArray[np.float64],
    crop_xyxy: XYXY,
    image_size: tuple[int, int],
    options: MaskOptions,
) -> ImageMasks:
    """The masks of a crop for points in its pixels, in the frame of the image (height, width)."""
    if isinstance(decoder, SelectingDecoder):
        return decoder.masks(points_N2, crop_xyxy, image_size)
    return masks_of_crop(decoder.candidates(points_N2), points_N2, crop_xyxy, image_size, options)


@ambient_state_aside()
def crop_decoder(
    sam: Sam, features_1Chw: torch.Tensor, frame: CropFrame, options: MaskOptions
) -> CropDecoder:
    """The fastest decoder for the device and the precision; all of them give the same masks.

    CallingDecoder calls modules that are not SAM's own or have hooks; the other decoders only read weights.
    """
    if not (are_own(sam.mask_decoder) and are_own(sam.prompt_encoder)):
        return CallingDecoder(sam, features_1Chw, frame, options)
    if features_1Chw.device.type != "cpu":
        with_kernels = kernel_decoder(sam, features_1Chw, frame, options)
        return with_kernels or DeviceDecoder(sam, features_1Chw, frame, options)
    if options.precision == "float32" and is_served(sam, features_1Chw):
        return NativeDecoder(sam, features_1Chw, frame, options)
    return TorchDecoder(sam, features_1Chw, frame, options)
