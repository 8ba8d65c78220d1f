"""The type of the large matrix products: the one lossy choice, and the one place where it is made.

`float16` and `bfloat16` apply to the image encoder and the upscaling of masks, nearly all of a GPU's work.
The decoder's tokens and the predicted IoU are always float32 (bfloat16 has steps of 0.004 below 1, which
blurs the threshold and makes NMS tie), and so are the statistics of every LayerNorm, resizing and counts.
Where a GPU's kernels draw (triton/fused_decoder.py), float16 also applies to the attention between tokens and
image. The option is part of a dataset's identity: no dataset holds rows of two precisions.

float16 is as fast as bfloat16 with an eighth of its error, but ends at 65504. If features or predicted IoUs
are not finite, because they left this range or the weights are damaged, the image fails with a message:
filtering them out would lose masks silently.
"""

import numpy as np
import torch

from sam_core.options import MaskOptions

PRODUCT_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class NotFinite(ArithmeticError):
    """The model's features or scores for an image contain infinities or NaN."""


def product_dtype(options: MaskOptions) -> torch.dtype:
    """The type for products of the encoder and of the upscaling."""
    return PRODUCT_DTYPES[options.precision]


def refuse_not_finite(is_finite: torch.Tensor | np.bool_, options: MaskOptions) -> None:
    """Raises: NotFinite, with what to do, unless `is_finite` is true; on a GPU it waits for the value."""
    if is_finite.item():
        return
    if options.precision == "float16":
        raise NotFinite("this image exceeds float16's range; label with precision bfloat16")
    raise NotFinite(
        "the model's numbers for this image are not finite; the weights may be damaged: download them again"
    )
