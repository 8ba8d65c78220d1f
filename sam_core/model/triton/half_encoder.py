"""An image encoder of either kind for inference in float16, and whether the kernels support it."""

from collections.abc import Callable

from torch import Tensor

from sam_core.model.image_encoder import ImageEncoderViT
from sam_core.model.tiny_vit import TinyViT
from sam_core.model.triton.half_tiny_vit import HalfTinyViT, half_tiny_vit_serves
from sam_core.model.triton.half_vit import HalfVit, half_vit_serves


def half_encoder(encoder: ImageEncoderViT | TinyViT) -> Callable[[Tensor], Tensor]:
    """Images float32 [B, 3, S, S] to features float32 [B, C, h, w], products in float16.

    Copies the weights on the encoder's device. The returned function stores no state between calls, does not
    wait for the device and may be recorded in a CUDA graph. Features that are not finite mean that float16
    has overflowed. Raises: ValueError if `half_encoder_serves` is false.
    """
    if not half_encoder_serves(encoder):
        raise ValueError("the kernels do not support an encoder of these sizes; use the encoder itself")
    return HalfVit(encoder) if isinstance(encoder, ImageEncoderViT) else HalfTinyViT(encoder)


def half_encoder_serves(encoder: ImageEncoderViT | TinyViT) -> bool:
    """Whether the kernels support an encoder of these sizes; they support all published ones."""
    if isinstance(encoder, ImageEncoderViT):
        return half_vit_serves(encoder)
    return half_tiny_vit_serves(encoder)
