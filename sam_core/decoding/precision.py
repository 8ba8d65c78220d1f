"""The type of the large matrix products: the one lossy choice, and the one place where it is made.

`bfloat16` is for the image encoder and the upscaling of masks, nearly all of a GPU's work. Always float32 are
the tokens' half of the decoder with the predicted IoU (bfloat16 has steps of 0.004 below 1, which blurs the
threshold and makes NMS tie), the statistics of every LayerNorm, resizing and counts. The option is part of a
dataset's identity: no dataset holds rows of both.
"""

import torch

from sam_core.options import MaskOptions

PRODUCT_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def product_dtype(options: MaskOptions) -> torch.dtype:
    """The type for products of the encoder and of the upscaling."""
    return PRODUCT_DTYPES[options.precision]
