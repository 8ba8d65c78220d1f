"""The last layers of both encoders for inference: they convert to the decoder's width, with norms in float32.

The first product stays in float32, so that the residual stream is never narrowed: it is a hundredth of the
work, and float16 would overflow at a ViT's large activations. Oracle: `sam_core.model.image_encoder.neck`.

Legend: T = B H W tokens, C channels of the encoder, O of the decoder.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam_core.model.layers import LayerNorm2d, typed_layer
from sam_core.model.triton.layer_norm import Norm, normalised


@dataclass(frozen=True)
class HalfNeck:
    """Weights of the neck; those of the second convolution are float16."""

    narrow_OC: Tensor
    first_norm: Norm
    mix_OO33: Tensor
    second_norm: Norm

    @classmethod
    def of(cls, neck: nn.Sequential) -> "HalfNeck":
        """The weights of `image_encoder.neck`'s four layers."""
        narrow, mix = typed_layer(neck[0], nn.Conv2d), typed_layer(neck[2], nn.Conv2d)
        return cls(
            narrow_OC=narrow.weight.flatten(1).float().contiguous(),
            first_norm=Norm.of(typed_layer(neck[1], LayerNorm2d)),
            mix_OO33=mix.weight.half().contiguous(memory_format=torch.channels_last),
            second_norm=Norm.of(typed_layer(neck[3], LayerNorm2d)),
        )

    def __call__(self, x_TC: Tensor, shape_BHW: tuple[int, int, int]) -> Tensor:
        """Features float32 [B, O, H, W], channels last in memory, from tokens of any floating dtype."""
        B, H, W = shape_BHW
        narrow_TO = x_TC.float() @ self.narrow_OC.T
        narrow_TO = normalised(narrow_TO, self.first_norm, torch.float16)
        narrow_BOHW = narrow_TO.view(B, H, W, -1).permute(0, 3, 1, 2)
        mixed_BHWO = F.conv2d(narrow_BOHW, self.mix_OO33, padding=1).permute(0, 2, 3, 1)
        features_TO = normalised(mixed_BHWO.reshape(B * H * W, -1), self.second_norm, torch.float32)
        return features_TO.view(B, H, W, -1).permute(0, 3, 1, 2)
