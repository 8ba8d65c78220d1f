"""What the large matrix products run in: the one lossy choice, and the one place where it is decided.

`bfloat16` is for the image encoder and the upscaling of masks, where nearly all of a GPU's work is. Float32
stay in any case: the tokens' half of the decoder with the predicted IoU (in bfloat16 scores below 1 come in
steps of 0.004, so that the threshold blurs and NMS ties), the statistics of every LayerNorm, resizing and
counts. The option belongs to a dataset's identity: rows made one way never stand beside rows made the other.
"""

import torch

from sam_core.options import MaskOptions

PRODUCT_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def product_dtype(options: MaskOptions) -> torch.dtype:
    """What the options say for products of the encoder and of the upscaling."""
    return PRODUCT_DTYPES[options.precision]
