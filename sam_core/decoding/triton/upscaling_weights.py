"""What upscaling needs of a model and of a prompt, arranged for its kernel.

The kernel's GELU gives twice its value (gelu.py), so both matrices that follow a GELU are halved here.
"""

from dataclasses import dataclass

import torch

from sam_core.model.mask_decoder import MaskDecoder


@dataclass(frozen=True)
class UpscalingWeights:
    """A model's upscaling after its first convolution: c = 64 channels, four pixels of 32 channels."""

    norm_weight_c: torch.Tensor  # float32
    norm_bias_c: torch.Tensor
    norm_eps: float
    second_cD: torch.Tensor  # of the products' type; D = (k, l, channel), pixel (k, l) of the two by two
    second_bias_D: torch.Tensor  # float32

    @classmethod
    def of(cls, decoder: MaskDecoder, dtype: torch.dtype) -> "UpscalingWeights":
        """The decoder's weights, for products of this type."""
        _, norm, second = decoder.upscaling_layers()
        assert second.bias is not None  # noqa: S101  MaskDecoder makes it with one
        second_cD = 0.5 * second.weight.permute(0, 2, 3, 1).flatten(1)
        return cls(
            norm_weight_c=norm.weight,
            norm_bias_c=norm.bias,
            norm_eps=norm.eps,
            second_cD=second_cD.to(dtype).contiguous(),
            second_bias_D=second.bias.repeat(4),
        )


def mask_blocks(weights_BMc: torch.Tensor) -> torch.Tensor:
    """Weights of M <= 4 masks, [B, 32, ...], for the four pixels at once: block-diagonal, [B, 128, 16].

    Rows are (k, l, channel), columns (mask, k, l); masks are filled up to four.
    """
    B, M, c = weights_BMc.shape
    blocks = weights_BMc.new_zeros(B, 4, c, 4, 4)
    blocks.diagonal(dim1=1, dim2=4)[:, :, :M] = 0.5 * weights_BMc.transpose(1, 2)[..., None]
    return blocks.view(B, 4 * c, 16)
