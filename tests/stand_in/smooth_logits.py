"""Made-up logits of masks, as smooth as a decoder's."""

import torch
from torch.nn import functional as F

from sam_core.decoding.crop_frame import CropFrame


def smooth_logits(count: int, frame: CropFrame, seed: int) -> torch.Tensor:
    """Blobs of several sizes over the whole square, float32 [count, side, side].

    The first mask is empty, the second full, and the third has no logit over 0.9.
    """
    noise = torch.randn(count, 1, 6, 6, generator=torch.Generator().manual_seed(seed))
    size = (frame.low_res_size, frame.low_res_size)
    logits = F.interpolate(noise, size, mode="bicubic")[:, 0] * 4 - torch.arange(count)[:, None, None] % 4
    for index, (least, most) in enumerate(((-5, -5), (5, 5), (-9, 0.9))[:count]):
        logits[index] = logits[index].clamp(least, most)
    return logits
